"""A vendor's SDF with faults of every kind at random places, and what has to become of each record."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from rdkit import Chem


@dataclass(frozen=True)
class Expected:
    """What a structure in the file must become: a row (`reason` empty), or a reject whose reason holds some words."""

    name: str
    line: int
    reason: str
    fault: str


FAULTS = (
    "value begins with >", "no delimiter before it", "cut off", "item twice", "no blank line", "text behind an item",
    "wildcard", "query atom", "too large", "bad valence", "byte order mark", "not UTF-8 in the id",
    "not UTF-8 elsewhere", "no id", "spaces before the delimiter", "salt", "windows lines", "V3000",
)  # fmt: skip


def _block(smiles: str, name: str, *, v3000: bool = False) -> str:
    mol = Chem.MolFromSmiles(smiles)
    mol.AddConformer(Chem.Conformer(mol.GetNumAtoms()))  # else RDKit computes one, for seconds of large structures
    return name + Chem.MolToMolBlock(mol, forceV3000=v3000)


def vendor_sdf(smiles: Sequence[str], rng: random.Random, share: float) -> tuple[bytes, list[Expected], dict[str, str]]:
    """A file of these structures, all different; about a `share` of the records has a fault.

    Returns
    -------
    (content, expected, prices)
        What each structure must become, in order, and the value of item PRICE by name.
    """
    parts: list[bytes] = []
    expected: list[Expected] = []
    prices: dict[str, str] = {}
    line = 1
    for number, text in enumerate(smiles):
        name = f"V{number:06d}"
        fault = rng.choice(FAULTS) if rng.random() < share else ""
        price, reason, structure = f"{number % 97}.5", "", text
        if fault == "wildcard":
            structure, reason = text + "*", "wildcard"
        elif fault == "too large":
            structure, reason = "C" * 998 + text + "C" * 3, "heavy atoms"
        elif fault == "salt":
            structure = text + ".Cl"
        elif fault == "value begins with >":
            price = f"> {number}"
        elif fault == "bad valence":
            reason = "does not parse"
        block = _block(structure, name, v3000=fault in ("V3000", "too large"))
        if fault == "bad valence":
            block = _block("C[N+](C)(C)C", name).replace("M  CHG  1   2   1\n", "")
        elif fault == "query atom":
            lines = block.split("\n")
            lines[4] = lines[4][:31] + "A  " + lines[4][34:]
            block, reason = "\n".join(lines), "wildcard"
        elif fault == "cut off":
            block, reason = block[: block.index("M  END")], "M  END"
        items = [f"> <ID>\n{name}\n", f"> <PRICE> ({number})\n{price}\n", "> <NOTE>\nin stock\n"]
        if fault == "item twice":
            items.append("> <PRICE>\n999\n")
            reason = "twice"
        elif fault == "no blank line":
            items[1] = f"> <PRICE>\n{price}\n> <MASS>\n1"
            reason = "no blank line"
        elif fault == "text behind an item":
            items[1] += "\nmore\n"
            reason = "text behind"
        elif fault == "no id":
            items[0], reason = "", "no id"
        record = block + "\n".join(item for item in items if item) + "\n"
        end = "$$$$\n"
        if fault == "spaces before the delimiter":
            end = "  $$$$\n"
        data = (record + end).encode()
        if fault == "not UTF-8 in the id":
            data, reason = data.replace(f"> <ID>\n{name}".encode(), b"> <ID>\n\xb5"), "not UTF-8"
        elif fault == "not UTF-8 elsewhere":
            data = data.replace(b"in stock", b"5 \xb5M")
        elif fault == "byte order mark":
            data = b"\xef\xbb\xbf" + data
        elif fault == "windows lines":
            data = data.replace(b"\n", b"\r\n")
        elif fault == "no delimiter before it" and parts and expected[-1].fault != "cut off":
            last = parts.pop()
            if last.rstrip().endswith(b"$$$$"):
                parts.append(last[: last.rindex(b"$$$$")].rstrip(b" "))
                line -= 1
            else:
                parts.append(last)
        expected.append(Expected(name, line, reason, fault))
        if not reason:
            prices[name] = price
        parts.append(data)
        line += data.count(b"\n")
    return b"".join(parts), expected, prices
