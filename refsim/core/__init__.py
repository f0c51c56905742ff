"""What every room needs: errors, arrays, units, tables, spikes, random numbers and verdicts."""
