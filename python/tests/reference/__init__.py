"""The interface as its documentation shows it, in calls: what each block takes for granted, does, and waits for."""
