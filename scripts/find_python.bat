@echo off
rem Called by other .bat files. Sets python: how to call a Python that is new enough, with its
rem quotes. Not its path, which would lose letters between two code pages.
rem HOTFIT_PYTHON names one that is used instead.
set "python="
if not defined HOTFIT_PYTHON goto :look
set python="%HOTFIT_PYTHON%"
exit /b 0

:look
for %%c in ("py -3" "python3" "python") do call :try %%~c
if defined python exit /b 0
echo setup: expected Python 3.11 or newer, found none. Install one from python.org or name one in HOTFIT_PYTHON. 1>&2
exit /b 1

:try
if defined python exit /b 0
%* -c "import sys; sys.exit(sys.version_info < (3, 11))" >nul 2>&1
if %errorlevel% equ 0 set "python=%*"
exit /b 0
