"""Carry a gRPC status from the rules of the database to the edge that speaks gRPC."""

import grpc


class Refusal(Exception):
    """The request cannot be answered; ``code`` and ``details`` are what the client will see."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(f"{code.name}: {details}")
        self.code = code
        self.details = details


def invalid(details: str) -> Refusal:
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, details)


def not_found(details: str) -> Refusal:
    return Refusal(grpc.StatusCode.NOT_FOUND, details)


def already_exists(details: str) -> Refusal:
    return Refusal(grpc.StatusCode.ALREADY_EXISTS, details)


def failed_precondition(details: str) -> Refusal:
    return Refusal(grpc.StatusCode.FAILED_PRECONDITION, details)


def aborted(details: str) -> Refusal:
    return Refusal(grpc.StatusCode.ABORTED, details)


def unimplemented(details: str) -> Refusal:
    return Refusal(grpc.StatusCode.UNIMPLEMENTED, details)
