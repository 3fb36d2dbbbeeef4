@echo off
rem Remove the Windows services. Usage: uninstall.bat [--dry-run] [--purge] [--help]
rem
rem Configuration, models, keys and logs stay, unless --purge is given.
setlocal EnableExtensions
set "dry="
set "purge="
:options
if "%~1"=="" goto :ready
if "%~1"=="--dry-run" (
    set "dry=yes"
    shift
    goto :options
)
if "%~1"=="--purge" (
    set "purge=yes"
    shift
    goto :options
)
if "%~1"=="-h" goto :help
if "%~1"=="--help" goto :help
echo uninstall.bat: expected --dry-run, --purge or --help, found '%~1'. 1>&2
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
if not defined purge (
    echo Hotfit's services are gone. Left: %home% ^(--purge removes it^).
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
echo Remove the Windows services. Usage: uninstall.bat [--dry-run] [--purge] [--help]
exit /b 0
