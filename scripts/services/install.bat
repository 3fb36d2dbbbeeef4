@echo off
rem Install both daemons as Windows services with NSSM. Usage: install.bat [--dry-run] [--help]
rem
rem Needs nssm.exe on PATH or in .venv\Scripts, an administrator's prompt, and hotfit.toml.
rem Asks nothing; running it again sets the same services anew.
setlocal EnableExtensions
set "dry="
:options
if "%~1"=="" goto :ready
if "%~1"=="--dry-run" (
    set "dry=yes"
    shift
    goto :options
)
if "%~1"=="-h" goto :help
if "%~1"=="--help" goto :help
echo install.bat: expected --dry-run or --help, found '%~1'. 1>&2
exit /b 2

:ready
for %%r in ("%~dp0..\..") do set "root=%%~fr"
if defined HOTFIT_VENV (set "venv=%HOTFIT_VENV%") else (set "venv=%root%\.venv")
if defined HOTFIT_HOME (set "home=%HOTFIT_HOME%") else (set "home=%root%\var")
if defined HOTFIT_CONFIG (set "config=%HOTFIT_CONFIG%") else (set "config=%root%\hotfit.toml")
set "nssm=nssm.exe"
if exist "%venv%\Scripts\nssm.exe" set "nssm=%venv%\Scripts\nssm.exe"
if defined dry goto :install
if not exist "%config%" (
    echo install.bat: expected a configuration at %config%; copy docs\hotfit.example.toml there first. 1>&2
    exit /b 1
)
call "%root%\scripts\find_python.bat"
if errorlevel 1 exit /b 1
"%python%" "%root%\scripts\setup_env.py"
if errorlevel 1 exit /b %errorlevel%
"%nssm%" version >nul 2>&1
if errorlevel 9000 (
    echo install.bat: expected nssm.exe on PATH or in %venv%\Scripts; found none. 1>&2
    exit /b 1
)
if not exist "%home%\logs" mkdir "%home%\logs"

:install
call :service hotfit-retrain retrain_service "-m retrain_service run"
if errorlevel 1 exit /b 1
call :service hotfit-api api_service "-m api_service"
if errorlevel 1 exit /b 1
if defined dry exit /b 0
echo Hotfit is installed as the services hotfit-retrain and hotfit-api. Look: sc query hotfit-api
exit /b 0

rem %1 service, %2 daemon, %3 arguments of Python
:service
call :run stop %1 >nul 2>&1
call :run install %1 "%venv%\Scripts\python.exe" >nul 2>&1
call :run set %1 Application "%venv%\Scripts\python.exe"
if errorlevel 1 exit /b 1
call :run set %1 AppParameters %3
call :run set %1 AppDirectory "%root%"
call :run set %1 AppEnvironmentExtra "HOTFIT_CONFIG=%config%" "HOTFIT_HOME=%home%"
call :run set %1 AppStdout "%home%\logs\%2.log"
call :run set %1 AppStderr "%home%\logs\%2.log"
call :run set %1 AppRotateFiles 1
call :run set %1 AppRotateOnline 1
call :run set %1 AppRotateBytes 10000000
call :run set %1 AppExit Default Restart
call :run set %1 AppExit 2 Exit
call :run set %1 AppRestartDelay 5000
call :run set %1 AppStopMethodConsole 10000
call :run set %1 Start SERVICE_AUTO_START
call :run start %1
exit /b 0

:run
if defined dry (
    echo would run: nssm %*
    exit /b 0
)
"%nssm%" %*
exit /b %errorlevel%

:help
echo Install both daemons as Windows services with NSSM. Usage: install.bat [--dry-run] [--help]
exit /b 0
