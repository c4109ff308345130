"""The comparison of the voxelizer with its peers: each in an environment and process of its own, and one page."""
