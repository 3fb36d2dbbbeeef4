# Run Hotfit by the Task Scheduler instead of NSSM. Usage, at an administrator's prompt:
#   powershell -ExecutionPolicy Bypass -File task-scheduler.ps1 -Register [-Once] [-At 03:30]
#   powershell -ExecutionPolicy Bypass -File task-scheduler.ps1 -Unregister
#
# -Register   both daemons at start-up; each minute those that do not run are started again
# -Once       the API at start-up, and one training run a day at -At instead of the retrain daemon
# -WhatIf     show the steps and take none
# Needs Windows 10 or Server 2016, .venv (scripts\start.bat makes it) and a hotfit.toml, or
# HOTFIT_CONFIG. Asks nothing; a second run sets the same tasks anew. Models, keys and logs stay
# when it unregisters.
#Requires -Version 5.1
#Requires -RunAsAdministrator
[CmdletBinding(SupportsShouldProcess = $true)]
param(
    [switch]$Register,
    [switch]$Unregister,
    [switch]$Once,
    [string]$At = '03:30'
)
$ErrorActionPreference = 'Stop'
$folder = '\Hotfit\'
$names = @('hotfit-api', 'hotfit-retrain', 'hotfit-once')
$root = Split-Path -Parent (Split-Path -Parent $PSScriptRoot)
$venv = if ($env:HOTFIT_VENV) { $env:HOTFIT_VENV } else { Join-Path $root '.venv' }
$python = Join-Path $venv 'Scripts\python.exe'
$config = if ($env:HOTFIT_CONFIG) { $env:HOTFIT_CONFIG } else { Join-Path $root 'hotfit.toml' }

if ($Register -eq $Unregister) {
    throw 'task-scheduler.ps1: expected -Register or -Unregister.'
}

foreach ($name in $names) {
    $found = Get-ScheduledTask -TaskPath $folder -TaskName $name -ErrorAction SilentlyContinue
    if ($found -and $PSCmdlet.ShouldProcess($name, 'unregister')) {
        $found | Stop-ScheduledTask
        $found | Unregister-ScheduledTask -Confirm:$false
    }
}
$isUsable = (Test-Path -LiteralPath $python) -and (Test-Path -LiteralPath $config)
if ($isUsable) {
    $config = (Resolve-Path -LiteralPath $config).Path
    $env:HOTFIT_CONFIG = $config
    # So that a path keeps its letters on the way from Python to here.
    $env:PYTHONIOENCODING = [Console]::OutputEncoding.WebName
    # Ending a task may leave what its cmd.exe has started.
    if ($PSCmdlet.ShouldProcess('what still runs', 'stop')) {
        & $python (Join-Path $root 'scripts\control.py') stop
        if ($LASTEXITCODE) { throw 'task-scheduler.ps1: something still runs; see above.' }
    }
}
if ($Unregister) { exit 0 }

foreach ($needed in @($python, $config)) {
    if (-not (Test-Path -LiteralPath $needed)) {
        throw "task-scheduler.ps1: expected $needed, found nothing there."
    }
}
$data = & $python (Join-Path $root 'scripts\control.py') home
if ($LASTEXITCODE) { throw "task-scheduler.ps1: $config cannot be used; see above." }
$logs = Join-Path $data 'logs'
New-Item -ItemType Directory -Force -Path $logs -WhatIf:$false | Out-Null

function Register-Hotfit([string]$Name, [string]$Arguments, $Trigger, [TimeSpan]$Limit) {
    $log = Join-Path $logs "$Name.log"
    # cmd.exe is what gives the task its environment and its log.
    $line = "/d /s /c `"set `"HOTFIT_CONFIG=$config`" && set `"HOTFIT_HOME=$data`"" +
        " && `"$python`" $Arguments >> `"$log`" 2>&1`""
    $action = New-ScheduledTaskAction -Execute 'cmd.exe' -Argument $line -WorkingDirectory $root
    # Priority 5 is a program's usual one; a task's usual 7 yields to everything else.
    $settings = New-ScheduledTaskSettingsSet -ExecutionTimeLimit $Limit -Priority 5 `
        -MultipleInstances IgnoreNew -StartWhenAvailable `
        -AllowStartIfOnBatteries -DontStopIfGoingOnBatteries
    $who = New-ScheduledTaskPrincipal -UserId 'SYSTEM' -LogonType ServiceAccount
    if ($PSCmdlet.ShouldProcess($Name, 'register')) {
        Register-ScheduledTask -TaskPath $folder -TaskName $Name -Action $action `
            -Trigger $Trigger -Settings $settings -Principal $who | Out-Null
    }
}

# Not -RestartCount, which has a limit and need not heed how a program ended: a trigger that comes
# each minute, and is ignored while the task runs, brings back whatever has ended.
$boot = @(
    (New-ScheduledTaskTrigger -AtStartup),
    (New-ScheduledTaskTrigger -Once -At (Get-Date) -RepetitionInterval (New-TimeSpan -Minutes 1))
)
$forever = [TimeSpan]::Zero
if ($Once) {
    $daily = New-ScheduledTaskTrigger -Daily -At $At
    Register-Hotfit 'hotfit-once' '-m retrain_service once' $daily (New-TimeSpan -Hours 12)
} else {
    Register-Hotfit 'hotfit-retrain' '-m retrain_service run' $boot $forever
}
Register-Hotfit 'hotfit-api' '-m api_service' $boot $forever
foreach ($name in $(if ($Once) { @('hotfit-api') } else { @('hotfit-retrain', 'hotfit-api') })) {
    if ($PSCmdlet.ShouldProcess($name, 'start')) {
        Start-ScheduledTask -TaskPath $folder -TaskName $name
    }
}
