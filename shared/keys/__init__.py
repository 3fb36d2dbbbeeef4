"""Who may call and who signed: signing keys, API keys, the console's secret."""
