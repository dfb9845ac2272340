"""Order of the examples in the gallery."""


class QuickstartFirst:
    """Sort key: the quickstart, then the others by name.

    Parameters
    ----------
    src_dir : str
        Folder of the examples.
    """

    def __init__(self, src_dir: str) -> None:
        self.src_dir = src_dir

    def __call__(self, filename: str) -> tuple[bool, str]:
        """Key of one example."""
        return filename != "plot_quickstart.py", filename
