"""The command line. `app` has the commands; what each of them needs is imported when it runs."""
