@echo off
rem Remove the Windows services, models, keys and logs.
rem Usage: uninstall.bat [--keep-data] [--dry-run] [--help]
rem
rem --keep-data leaves models, keys and logs. hotfit.toml and this folder always stay.
setlocal EnableExtensions
set "dry="
set "keep="
:options
if "%~1"=="" goto :ready
if "%~1"=="--dry-run" (
    set "dry=yes"
    shift
    goto :options
)
if "%~1"=="--keep-data" (
    set "keep=yes"
    shift
    goto :options
)
if "%~1"=="-h" goto :help
if "%~1"=="--help" goto :help
echo uninstall.bat: expected --keep-data, --dry-run or --help, found '%~1'. 1>&2
exit /b 2

:ready
for %%r in ("%~dp0..\..") do set "root=%%~fr"
if defined HOTFIT_VENV (set "venv=%HOTFIT_VENV%") else (set "venv=%root%\.venv")
if defined HOTFIT_HOME (set "home=%HOTFIT_HOME%") else (set "home=%root%\var")
set "nssm=nssm.exe"
if exist "%venv%\Scripts\nssm.exe" set "nssm=%venv%\Scripts\nssm.exe"
for %%s in (hotfit-api hotfit-retrain) do (
    call :run stop %%s
    call :run remove %%s confirm
)
if defined keep (
    echo Hotfit's services are gone. Left: %home%.
    exit /b 0
)
if defined dry (echo would run: rmdir /s /q "%home%") else (rmdir /s /q "%home%")
echo Hotfit's services are gone, with models and keys.
exit /b 0

:run
if defined dry (
    echo would run: nssm %*
    exit /b 0
)
"%nssm%" %*
exit /b %errorlevel%

:help
echo Remove the Windows services, models, keys and logs.
echo Usage: uninstall.bat [--keep-data] [--dry-run] [--help]
exit /b 0
