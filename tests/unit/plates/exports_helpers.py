"""Exports of plate readers as their software writes them, made here: one plate, its values by well."""

from __future__ import annotations

from isd_ray.plates.wells import SHAPES, names_of, row_letters


def values(plate_format, seed=0):
    """A number for each well, another one for each seed."""
    return {name: f"{1000 * seed + at + 0.5:g}" for at, name in enumerate(names_of(plate_format))}


def grid(cells, plate_format, sep, corner="", tail=None):
    n_rows, n_columns = SHAPES[plate_format]
    names = names_of(plate_format)
    lines = [sep.join([corner, *map(str, range(1, n_columns + 1))])]
    for row in range(n_rows):
        texts = [cells[names[row * n_columns + column]] for column in range(n_columns)]
        lines.append(sep.join([row_letters(row), *texts, *([tail] if tail else [])]))
    return lines


def envision(cells, plate_format, barcode="P1", title="Luminescence (1)", more=()):
    return [
        "Plate information",
        "Plate,Repeat,Barcode,Measured height,Chamber temperature at start,Measurement date",
        f"1,1,{barcode},15.50,24.3,03/01/2026 14:05",
        "",
        "Background information",
        "Plate,Label,Result,Signal,Flashes/integration,MeasInfo",
        "1,LUM,0,0,,De=1st",
        "",
        title,
        "",
        *grid(cells, plate_format, ","),
        "",
        *more,
        "Basic assay information",
        "Assay ID:,,7",
        "Assay Name:,,LUM 96",
        "EnVision version:,,1.14",
    ]


def envision_list(cells, plate_format, barcode="P1"):
    return [
        "Plate information",
        "Plate,Repeat,Barcode,Measured height",
        f"1,1,{barcode},15.50",
        "",
        "Plate,Repeat,Well,Type,Signal",
        *(f"1,1,{name},M,{text}" for name, text in cells.items()),
        "",
        "Basic assay information",
    ]


def mars(cells, plate_format, barcode="P1", title="Raw Data (450)"):
    return [
        "User: USER,Path: C:\\Program Files\\BMG\\,Test ID: 87",
        "Test Name: ABS,Date: 3/1/2026,Time: 2:05:00 PM",
        *([f"ID1: {barcode}"] if barcode else []),
        "Absorbance",
        "",
        title,
        "",
        *grid(cells, plate_format, ","),
    ]


def mars_list(cells, plate_format, barcode="P1"):
    return [
        "User: USER;Path: C:\\Data;Test ID: 87",
        f"Test Name: FI;Date: 3/1/2026;ID1: {barcode}",
        "",
        "Well Row;Well Col;Content;Raw Data (485/520)",
        *(
            f"{name.rstrip('0123456789')};{name.lstrip('ABCDEFGHIJKLMNOPQRSTUVWXYZ')};Sample X1;{text}"
            for name, text in cells.items()
        ),
    ]


def softmax(cells, plate_format, barcode="P1", wavelengths="450", times=("",), more=()):
    n_rows, n_columns = SHAPES[plate_format]
    names = names_of(plate_format)
    tables = [cells, *more]
    section = [
        "Plate:",
        barcode,
        "1.3",
        "PlateFormat",
        "Endpoint",
        "Absorbance",
        "Raw",
        "FALSE",
        "1",
        "",
        "",
        "",
        "",
        "",
        "",
        wavelengths,
        "1",
    ]
    lines = ["##BLOCKS= 1", "\t".join(section)]
    header = ["", "Temperature(\u00b0C)"]
    for _ in tables:
        header += [*map(str, range(1, n_columns + 1)), ""]
    lines.append("\t".join(header))
    for time in times:
        for row in range(n_rows):
            fields = [time if row == 0 else "", "25.3" if row == 0 else ""]
            for table in tables:
                fields += [*(table[names[row * n_columns + column]] for column in range(n_columns)), ""]
            lines.append("\t".join(fields))
        lines.append("")
    return [*lines, "~End", "Original Filename: x; Date Last Saved: 3/1/2026"]


def gen5(cells, plate_format, barcode="P1", reads=("450",), more=()):
    n_rows, n_columns = SHAPES[plate_format]
    names = names_of(plate_format)
    lines = [
        "Software Version\t3.11.19",
        "",
        "Experiment File Path:\tC:\\x.xpt",
        "Protocol File Path:",
        "",
        f"Plate Number\t{barcode}",
        f"Barcode:\t{barcode}",
        "Reader Type:\tCytation 5",
        "",
        "Results",
        "Actual Temperature:\t23.1",
        "\t".join(["", *map(str, range(1, n_columns + 1))]),
    ]
    for row in range(n_rows):
        for number, (read, table) in enumerate(zip(reads, [cells, *more], strict=True)):
            texts = [table[names[row * n_columns + column]] for column in range(n_columns)]
            lines.append("\t".join([row_letters(row) if number == 0 else "", *texts, read]))
    return lines


def gen5_kinetic(cells, plate_format, barcode="P1"):
    names = list(cells)
    return [
        "Software Version\t3.11.19",
        "Reader Type:\tSynergy H1",
        f"Barcode:\t{barcode}",
        "450",
        "",
        "\t".join(["Time", "T\u00b0 450", *names]),
        *("\t".join([time, "37.0", *(cells[name] for name in names)]) for time in ("0:00:00", "0:01:00", "0:02:00")),
        "",
    ]


def tecan(cells, plate_format, barcode="P1", title="Label: Label1"):
    return [
        "Application: Tecan i-control\t\t\t\tTecan i-control , 2.0.10.0",
        "Device: infinite 200Pro\t\t\t\tSerial number: 1234",
        "System\t\t\t\tLAB-PC",
        f"Plate ID\t{barcode}",
        "Start Time:\t3/1/2026 2:05:00 PM",
        "",
        title,
        "Temperature: 24.3 \u00b0C",
        *grid(cells, plate_format, "\t", "<>"),
        "",
        "End Time:\t3/1/2026 2:06:00 PM",
    ]


def tecan_kinetic(cells, plate_format, barcode="P1"):
    return [
        "Method name: kinetic\t\tSparkControl V3.1",
        f"Barcode\t{barcode}",
        "",
        "Cycle Nr.\t1\t2\t3",
        "Time [s]\t0\t60\t120",
        "Temp. [\u00b0C]\t37\t37\t37",
        *(
            f"{name[0]}{int(name[1:])}\t{text}\t{text}\t{text}"
            if name[1].isdigit()
            else f"{name}\t{text}\t{text}\t{text}"
            for name, text in cells.items()
        ),
        "",
    ]


def magellan(cells, plate_format, barcode="P1"):
    return [
        f"Barcode;{barcode}",
        "Well positions;Raw data",
        *(f"{name};{text}" for name, text in cells.items()),
        "",
        "Magellan V7.2",
    ]


def skanit(cells, plate_format, barcode="P1"):
    return [
        "Measurement results",
        "Session1.skax",
        "Varioskan LUX",
        f"Barcode,{barcode}",
        "",
        "Absorbance 450 nm",
        *grid(cells, plate_format, ",", "Abs"),
        "",
        "Autoloading range A1 - H12",
    ]


def skanit_list(cells, plate_format, barcode="P1", wavelengths=("450",)):
    return [
        "Measurement results",
        "SkanIt Software 6.1",
        "",
        "Plate,Well,Group,Type,Sample,Wavelength,Absorbance",
        *(f"{barcode},{name},G,Un,s,{wave},{text}" for wave in wavelengths for name, text in cells.items()),
    ]


LAYOUTS = {
    "envision": envision,
    "envision list": envision_list,
    "mars": mars,
    "mars list": mars_list,
    "softmax": softmax,
    "gen5": gen5,
    "tecan": tecan,
    "tecan magellan": magellan,
    "skanit": skanit,
    "skanit list": skanit_list,
}
