"""A week of nights with everything real but the calendar: what runs, who is told, what is kept."""
