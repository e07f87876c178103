"""`python -m fedgen_bench`: the same as `fedgen-bench`."""

from fedgen_bench.cli.main import main

if __name__ == "__main__":
    main()
