"""A version as an image: staged here, layer by layer, and built by an engine or written as an archive.

build.py           the whole job, from what is asked to what was proved
engines.py         what builds images here, and whether it works (said.py: what they say, in our words)
context.py         what is in a lean image (packages.py: which; installing.py, slim.py: how they get there; sbom.py)
containerfile.py   the same for an engine: no step of it runs anything
layers.py          a folder as a layer, the same bytes each time
oci.py             the image as an archive (archive.py, manifests.py, stream.py), for which no engine is needed
base.py            what it stands on: from an archive, or from a registry (registries.py); blobs.py, its layers, kept
built.py           made by an engine; archived.py, by none; bento.py, as BentoML makes it; inventory.py, what that has
made.py            what came of it
verify.py          it is started, and its answers compared with those that verified the version
run.py             the command that runs an image; known.py, what an engine knows of one
"""
