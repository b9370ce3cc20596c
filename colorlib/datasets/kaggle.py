"""placeholder while the real one is being written"""
def open_kaggle(*a, **k): raise NotImplementedError
def lightness_kind(*a): raise NotImplementedError
