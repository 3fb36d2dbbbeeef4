@echo off
rem Called by start.bat and test.bat. Sets: python, the newest enough Python of this machine.
rem HOTFIT_PYTHON names one that is used instead.
set "python="
if defined HOTFIT_PYTHON (
    set "python=%HOTFIT_PYTHON%"
    exit /b 0
)
for %%c in ("py -3" "python3" "python") do (
    for /f "delims=" %%p in ('%%~c -c "import sys; print(sys.executable)" 2^>nul') do (
        if not defined python set "python=%%p"
    )
)
if not defined python (
    echo setup: expected Python 3.11 or newer, found none. Install one from python.org or name one in HOTFIT_PYTHON. 1>&2
    exit /b 1
)
exit /b 0
