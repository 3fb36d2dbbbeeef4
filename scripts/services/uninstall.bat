@echo off
rem Remove the Windows services, models, keys and logs.
rem Usage: uninstall.bat [--keep-data] [--dry-run] [--help]
rem
rem --keep-data leaves models, keys and logs. hotfit.toml and this folder always stay, and so does
rem whatever else lies in the data folder.
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
if defined HOTFIT_CONFIG (set "config=%HOTFIT_CONFIG%") else (set "config=%root%\hotfit.toml")
for %%c in ("%config%") do set "config=%%~fc"
set "home=%root%\var"
if defined HOTFIT_HOME set "home=%HOTFIT_HOME%"
set "nssm=nssm.exe"
if exist "%venv%\Scripts\nssm.exe" set "nssm=%venv%\Scripts\nssm.exe"
if exist "%config%" if exist "%venv%\Scripts\python.exe" call :find_home
for %%s in (hotfit-api hotfit-retrain) do (
    call :run stop %%s
    call :run remove %%s confirm
)
set "left="
if not defined dry for %%s in (hotfit-api hotfit-retrain) do call :see_if_left %%s
if defined left (
    echo uninstall.bat: %left% is still there: no administrator's prompt, or its window is open. 1>&2
    exit /b 1
)
if defined keep (
    echo Hotfit's services are gone. Left: %home%.
    exit /b 0
)
for %%d in (buffer keys logs models pids reports requests work) do (
    if defined dry (echo would run: rmdir /s /q "%home%\%%d") else if exist "%home%\%%d" rmdir /s /q "%home%\%%d"
)
for %%f in (run_log feed) do (
    if defined dry (echo would run: del "%home%\%%f.sqlite*") else if exist "%home%\%%f.sqlite" del /q "%home%\%%f.sqlite*"
)
rem Only if nothing of anybody else's is left in it.
if not defined dry rmdir "%home%" 2>nul
echo Hotfit's services are gone, with models and keys.
exit /b 0

:see_if_left
reg query "HKLM\System\CurrentControlSet\Services\%1" >nul 2>&1
if not errorlevel 1 set "left=%1"
exit /b 0

:find_home
set "HOTFIT_CONFIG=%config%"
set "answer=%TEMP%\hotfit-home-%RANDOM%.txt"
"%venv%\Scripts\python.exe" "%root%\scripts\control.py" home > "%answer%" 2>nul
if not errorlevel 1 set /p home=<"%answer%"
del "%answer%"
exit /b 0

:run
if defined dry (
    echo would run: nssm %*
    exit /b 0
)
"%nssm%" %* >nul 2>&1
exit /b %errorlevel%

:help
echo Remove the Windows services, models, keys and logs.
echo Usage: uninstall.bat [--keep-data] [--dry-run] [--help]
exit /b 0
