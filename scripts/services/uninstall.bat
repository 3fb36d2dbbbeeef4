@echo off
rem Remove the Windows services, and models, keys and logs unless --keep-data.
rem Options: --keep-data, --dry-run, --help
setlocal
call "%~dp0..\find_python.bat"
if errorlevel 1 exit /b 1
%python% "%~dp0windows_services.py" uninstall %*
exit /b %errorlevel%
