# SPDX-License-Identifier: MIT
"""Checks a library.json by PlatformIO's own parser and schema, in a program of its own because it changes PlatformIO:

    python platformio_manifest.py library.json

Its schema fetches the list of licenses from the network. Here the list is one entry long, so that nothing is fetched."""

import sys

from platformio.package.manifest.parser import ManifestParserFactory
from platformio.package.manifest.schema import ManifestSchema

ManifestSchema.load_spdx_licenses = staticmethod(lambda: {"licenses": [{"licenseId": "MIT"}]})
ManifestSchema().load_manifest(ManifestParserFactory.new_from_file(sys.argv[1]).as_dict())
