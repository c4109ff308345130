"""The models as stock escnn builds them: the oracle that the dense layers are held against."""
