"""The run-time checker of colorlib's signatures, in tests only; an int may stand where a float is expected."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
