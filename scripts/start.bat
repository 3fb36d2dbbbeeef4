@echo off
rem Start both daemons in the background; the first start makes .venv. Options: --help
setlocal
call "%~dp0find_python.bat"
if errorlevel 1 exit /b 1
if defined HOTFIT_VENV (set "venv=%HOTFIT_VENV%") else (set "venv=%~dp0..\.venv")
if "%~1"=="-h" goto :help
if "%~1"=="--help" goto :help
%python% "%~dp0setup\environment.py"
if errorlevel 1 exit /b %errorlevel%
"%venv%\Scripts\python.exe" "%~dp0control.py" start %*
exit /b %errorlevel%
:help
%python% "%~dp0control.py" start --help
exit /b %errorlevel%
