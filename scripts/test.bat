@echo off
rem Set up what the checks need, then run all of them; arguments go to pytest. Options: --help
setlocal
call "%~dp0find_python.bat"
if errorlevel 1 exit /b 1
if defined HOTFIT_VENV (set "venv=%HOTFIT_VENV%") else (set "venv=%~dp0..\.venv")
if "%~1"=="-h" goto :help
if "%~1"=="--help" goto :help
%python% "%~dp0setup\environment.py" --dev
if errorlevel 1 exit /b %errorlevel%
"%venv%\Scripts\python.exe" "%~dp0check.py" %*
exit /b %errorlevel%
:help
%python% "%~dp0check.py" --help
exit /b %errorlevel%
