"""The tensors of a file, each to be accounted for: taken by a layer, or declared to mean nothing."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from ...arrays import Floats, float_array
from ...errors import RefsimError, listed


class Tensors:
    """Tensors by name, that know which were taken.

    Parameters
    ----------
    tensors : dict of str to array
    where : str
        Opens the error messages.
    """

    def __init__(self, tensors: Mapping[str, NDArray[Any]], where: str) -> None:
        self._tensors, self.where, self._taken = tensors, where, set[str]()

    def __contains__(self, name: str) -> bool:
        """Return whether there is a tensor of that name."""
        return name in self._tensors

    def take(self, name: str) -> Floats:
        """Return a tensor that the description asks for, as float64."""
        if name not in self._tensors:
            raise RefsimError(
                f"{self.where}: has no tensor '{name}', which the description asks for; it has {listed(self._tensors)}. Correct linear = ... in the description."
            )
        self._taken.add(name)
        return float_array(self._tensors[name], f"{self.where}: tensor '{name}'")

    def left(self) -> dict[str, NDArray[Any]]:
        """Return the tensors that nothing asked for, in the order of the file."""
        return {name: values for name, values in self._tensors.items() if name not in self._taken}

    def finish(self, ignore: Sequence[str], agree: Collection[str] = (), apart: Mapping[str, str] | None = None) -> None:
        """Refuse tensors that nothing accounts for, and those that hold something else than is declared, unless they are to be ignored.

        Parameters
        ----------
        agree : names of tensors that hold what is declared
        apart : dict of str to str
            Tensors that hold something else, and in words what.
        """
        if missing := set(ignore) - set(self._tensors):
            raise RefsimError(f"{self.where}: is to ignore {listed(missing)}, but has no such tensor; it has {listed(self._tensors)}.")
        if both := set(ignore) & self._taken:
            raise RefsimError(
                f"{self.where}: {listed(both)} is to be ignored, but a layer of the description uses it; a bias that is to be left out must leave the file."
            )
        if other := [words for name, words in (apart or {}).items() if name not in ignore]:
            raise RefsimError(
                f"{self.where}: its description says otherwise: {'; '.join(other)}. Correct the description, take the number from the file with "
                "tensors = { ... }, or put the tensor under ignore = [...] if it means nothing."
            )
        if surplus := set(self._tensors) - self._taken - set(ignore) - set(agree):
            raise RefsimError(
                f"{self.where}: the description does not account for {listed(surplus)}. Name the layer it belongs to, or put it under ignore = [...] if it means nothing."
            )
