"""`python -m lockstitch` is the command `lockstitch`, which is in the same distribution."""

if __name__ == "__main__":
    from lockstitch_server.__main__ import main

    main()
