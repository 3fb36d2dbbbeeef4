@echo off
rem Install both daemons as Windows services with NSSM: they start at boot and come back.
rem Needs an administrator's prompt and a hotfit.toml, or HOTFIT_CONFIG.
rem Options: --dry-run, --help
setlocal
call "%~dp0..\find_python.bat"
if errorlevel 1 exit /b 1
%python% "%~dp0windows_services.py" install %*
exit /b %errorlevel%
