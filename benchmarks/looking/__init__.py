"""What the panel costs in a browser: a stage without Jupyter (stage.py), and the meters of a page (meters.py)."""
