"""`python -m autodeploy_magic`: the `autodeploy` command."""

import sys

from autodeploy_magic.cli import main

sys.exit(main())
