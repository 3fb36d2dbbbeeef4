# Run Hotfit by the Task Scheduler instead of NSSM. Usage, at an administrator's prompt:
#   powershell -ExecutionPolicy Bypass -File task-scheduler.ps1 -Register [-Once] [-At 03:30]
#   powershell -ExecutionPolicy Bypass -File task-scheduler.ps1 -Unregister
#
# -Register   both daemons at start-up, started again within a minute when they fail
# -Once       the API at start-up, and one training run a day at -At instead of the retrain daemon
# -WhatIf     show the steps and take none
# Needs .venv (scripts\start.bat makes it) and a hotfit.toml, or HOTFIT_CONFIG. Asks nothing;
# a second run sets the same tasks anew. Models, keys and logs stay when it unregisters.
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
if ($Unregister) { exit 0 }

foreach ($needed in @($python, $config)) {
    if (-not (Test-Path -LiteralPath $needed)) {
        throw "task-scheduler.ps1: expected $needed, found nothing there."
    }
}
$config = (Resolve-Path -LiteralPath $config).Path
[Environment]::SetEnvironmentVariable('HOTFIT_CONFIG', $config)
Push-Location $root
$data = & $python 'scripts\control.py' home
$failed = $LASTEXITCODE
Pop-Location
if ($failed) { throw "task-scheduler.ps1: $config cannot be used; see above." }
$logs = Join-Path $data 'logs'
New-Item -ItemType Directory -Force -Path $logs -WhatIf:$false | Out-Null

function Register-Hotfit([string]$Name, [string]$Arguments, $Trigger, [TimeSpan]$Limit) {
    $log = Join-Path $logs "$Name.log"
    # cmd.exe is what gives the task its environment and its log.
    $line = "/d /s /c `"set `"HOTFIT_CONFIG=$config`" && `"$python`" $Arguments >> `"$log`" 2>&1`""
    $action = New-ScheduledTaskAction -Execute 'cmd.exe' -Argument $line -WorkingDirectory $root
    $settings = New-ScheduledTaskSettingsSet -ExecutionTimeLimit $Limit `
        -RestartCount 999 -RestartInterval (New-TimeSpan -Minutes 1) -StartWhenAvailable `
        -MultipleInstances IgnoreNew -AllowStartIfOnBatteries -DontStopIfGoingOnBatteries
    $who = New-ScheduledTaskPrincipal -UserId 'SYSTEM' -LogonType ServiceAccount
    if ($PSCmdlet.ShouldProcess($Name, 'register')) {
        Register-ScheduledTask -TaskPath $folder -TaskName $Name -Action $action `
            -Trigger $Trigger -Settings $settings -Principal $who | Out-Null
    }
}

$boot = New-ScheduledTaskTrigger -AtStartup
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
