@echo off
rem Show both daemons, the served version and the last run. Options: --help
setlocal
if defined HOTFIT_VENV (set "venv=%HOTFIT_VENV%") else (set "venv=%~dp0..\.venv")
if not exist "%venv%\Scripts\python.exe" (
    echo Nothing is installed here yet: scripts\start.bat does that. 1>&2
    exit /b 3
)
"%venv%\Scripts\python.exe" "%~dp0control.py" status %*
exit /b %errorlevel%
