"""The console's paths. What is behind them is imported at the first page, not at the start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, current_app, request
from flask.typing import ResponseReturnValue

from api_service.context import Context
from api_service.web.auth import is_for_sessions, open_to_all, signed_in_or_key
from api_service.web.yield_lock import yield_lock
from shared.errors import AnswerClient, TryLater

if TYPE_CHECKING:
    from api_service.console.pages import Pages


def blueprint(context: Context) -> Blueprint:
    routes = Blueprint("console", __name__)
    made: list[Pages] = []

    def pages() -> Pages:
        if not made:
            with yield_lock(request.environ):  # half a second, in which others are answered
                from api_service.console.pages import Pages  # templates: only who looks pays

            made.append(Pages(context))
        return made[0]

    @routes.before_request
    def check() -> None:
        if is_for_sessions(current_app.view_functions.get(request.endpoint or "")):
            pages().check_may_read()

    @routes.errorhandler(AnswerClient)
    @routes.errorhandler(TryLater)
    def problem(error: AnswerClient | TryLater) -> ResponseReturnValue:
        return pages().problem(error)

    @routes.get("/")
    @signed_in_or_key
    def home() -> ResponseReturnValue:
        return pages().home()

    @routes.get("/console/models/<model>")
    @signed_in_or_key
    def model_page(model: str) -> ResponseReturnValue:
        return pages().model(model)

    @routes.get("/console/models/<model>/<entity>")
    @signed_in_or_key
    def entity_page(model: str, entity: str) -> ResponseReturnValue:
        return pages().model(f"{model}/{entity}")

    @routes.get("/console/runs")
    @signed_in_or_key
    def runs() -> ResponseReturnValue:
        return pages().runs()

    @routes.get("/console/runs/<run_id>")
    @signed_in_or_key
    def run(run_id: str) -> ResponseReturnValue:
        return pages().run(run_id)

    @routes.get("/console/compare")
    @signed_in_or_key
    def compare() -> ResponseReturnValue:
        return pages().compare()

    @routes.get("/console/pulse")
    @signed_in_or_key
    def pulse() -> ResponseReturnValue:
        return pages().pulse()

    @routes.post("/console/act")
    @signed_in_or_key
    def act() -> ResponseReturnValue:
        return pages().act()

    @routes.get("/console/sign-in")
    @open_to_all
    def sign_in_form() -> ResponseReturnValue:
        return pages().sign_in_form()

    @routes.post("/console/sign-in")
    @open_to_all
    def sign_in() -> ResponseReturnValue:
        return pages().sign_in()

    @routes.post("/console/sign-out")
    @open_to_all
    def sign_out() -> ResponseReturnValue:
        return pages().sign_out()

    @routes.get("/console/static/<name>")
    @open_to_all
    def static(name: str) -> ResponseReturnValue:
        return pages().static(name)

    return routes
