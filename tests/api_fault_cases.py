"""Wrong calls of the Python API, and what the line says that refuses each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import dynvit

Made = dict[str, Path]
"""Folders: of a bench, its checkpoints, and of photos."""

WRONG: dict[str, tuple[Callable[[dynvit.Model, dynvit.Model, Made], Any], str]] = {
    "no such name": (lambda c, t, made: dynvit.load("topkk"), "did you mean 'topk'"),
    "no such folder": (lambda c, t, made: dynvit.load("runs/nothing"), "no checkpoint at 'runs/nothing'"),
    "no such file": (lambda c, t, made: dynvit.load("dvt", checkpoint="no.pth"), "no checkpoint at 'no.pth'"),
    "a folder of photos": (lambda c, t, made: dynvit.load(made["photos"]), "no checkpoint in"),
    "no weights": (lambda c, t, made: dynvit.load("topk"), "runs on a backbone's weights"),
    "nothing trained": (lambda c, t, made: dynvit.load("dvt", weights=made["dense"]), "mean nothing before training"),
    "an option": (lambda c, t, made: dynvit.load("topk", weights=made["dense"], stagse=2), "did you mean 'stages'"),
    "options without names": (
        lambda c, t, made: dynvit.load("topk", weights=made["dense"], options=["stages=2"]),  # type: ignore[arg-type]
        "options must be by name",
    ),
    "options of a checkpoint": (lambda c, t, made: dynvit.load(made["dvt"], exits=4), "unknown option 'exits'"),
    "weights of a checkpoint": (
        lambda c, t, made: dynvit.load(made["dvt"], weights=made["dense"]),
        "every model has its checkpoint: leave out --weights",
    ),
    "a device": (lambda c, t, made: dynvit.load(made["dvt"], device="abacus"), "got 'abacus'"),
    "a size": (lambda c, t, made: dynvit.load("topk", weights=made["dense"], image_size=0), "image-size must be"),
    "a plug-in": (lambda c, t, made: dynvit.load("topk", plugin="no.py"), "no plug-in file"),
    "a knob": (lambda c, t, made: c.at(treshold_1=0.5), "did you mean 'threshold_1'"),
    "out of range": (lambda c, t, made: t.at(keep_ratio=7), r"must lie in \[0.25, 1.0\], got 7"),
    "no number": (lambda c, t, made: t.at(keep_ratio=None), "must be a number"),  # type: ignore[arg-type]
    "nothing at all": (lambda c, t, made: c.at(), "none of them is given"),
    "two ways": (lambda c, t, made: c.at(gmacs=1.0, saving=0.1), "more than one"),
    "a knob is missing": (lambda c, t, made: dynvit.load(made["dvt"]).at(threshold_1=0.5), "threshold_2 must be given"),
    "calibration alone": (lambda c, t, made: t.at(keep_ratio=0.5, calibration="digits"), "is for a budget"),
    "no saving": (lambda c, t, made: t.at(saving=40), r"in \[0, 1\), got 40"),
    "no budget": (lambda c, t, made: t.at(gmacs="0.1"), "above 0, got '0.1'"),  # type: ignore[arg-type]
    "too small a budget": (lambda c, t, made: t.at(gmacs=1e-9), "out of range"),
    "one point": (lambda c, t, made: dynvit.load(made["dense"]).at(saving=0.1), "has no budget to be set to"),
    "no calibration": (lambda c, t, made: c.at(saving=0.3, calibration="nowhere"), "is no folder of images, and"),
    "no images": (lambda c, t, made: c.at(saving=0.3, calibration=[]), "calibration has no image"),
    "no point": (lambda c, t, made: dynvit.load(made["dvt"])(torch.rand(3, 8, 8)), r"threshold_1 in \[0, 1\]"),
    "no file": (lambda c, t, made: t("no.png"), "no image 'no.png'"),
    "a folder": (lambda c, t, made: t(made["photos"]), "is a folder"),
    "no image": (lambda c, t, made: t(7), "must be a path, a PIL image.*got int"),
    "no image in a list": (lambda c, t, made: t([None]), "got NoneType"),
    "another size": (lambda c, t, made: t(torch.rand(3, 9, 9)), r"got \(3, 9, 9\)"),
    "normalised": (lambda c, t, made: t(torch.full((1, 3, 8, 8), -1.0)), "pixels must lie in"),
    "not finite": (lambda c, t, made: t(torch.full((3, 8, 8), torch.nan)), "got nan"),
    "8 bits": (lambda c, t, made: t(torch.zeros(3, 8, 8, dtype=torch.uint8)), "divide 8 bits by 255"),
    "an array of floats": (lambda c, t, made: t(np.zeros((8, 8, 3))), "of uint8, got"),
    "top": (
        lambda c, t, made: t(torch.rand(3, 8, 8)).top(0),
        "how many classes must be a whole number, 1 or more, got 0",
    ),
    "a folder in use": (lambda c, t, made: t.save(made["photos"]), "holds something else"),
    "a training's folder": (lambda c, t, made: t.save(made["dvt"]), "holds a training"),
    "a file for a folder": (lambda c, t, made: t.save(made["dvt"] / "config.json"), "is a file"),
    "no model": (lambda c, t, made: dynvit.evaluate(7, "digits"), "model must be one of dynvit.load"),  # type: ignore[arg-type]
    "no data set": (lambda c, t, made: dynvit.evaluate(t, "digit"), "did you mean 'digits'"),
    "no packed folder": (lambda c, t, made: dynvit.evaluate(t, made["photos"]), "photos"),  # type: ignore[arg-type]
    "a folder of digits": (lambda c, t, made: dynvit.evaluate(t, data_dir=made["photos"]), "digits comes with"),
    "a folder of its own digits": (lambda c, t, made: dynvit.load(made["dvt"], data_dir="x"), "got --data-dir x:"),
    "a method beside its model": (
        lambda c, t, made: dynvit.bench(["dvt", c]),
        r"got 'dvt' and a model of it: give dynvit.load\('dvt', weights=…\)",
    ),
    "nothing to bench": (lambda c, t, made: dynvit.bench(3), "names or models, got int"),  # type: ignore[arg-type]
    "a limit of True": (lambda c, t, made: dynvit.evaluate(t, limit=True), "--limit must be a number, got True"),
    "half an image": (lambda c, t, made: dynvit.evaluate(t, limit=2.5), "--limit must be a valid integer"),  # type: ignore[arg-type]
    "an attack of True": (
        lambda c, t, made: dynvit.attack(t, "fgsm", limit=True),
        "--limit must be a number, got True",
    ),
    "a batch of text": (
        lambda c, t, made: dynvit.evaluate(t, limit=10, batch_size="64"),  # type: ignore[arg-type]
        "batch_size must be a whole number, 1 or more, got '64'",
    ),
    "a batch and a half": (lambda c, t, made: dynvit.evaluate(t, limit=10, batch_size=2.5), "got 2.5"),  # type: ignore[arg-type]
    "options of no method": (lambda c, t, made: dynvit.bench(options=["topk"]), "options must be by method"),  # type: ignore[arg-type]
    "options of no name": (
        lambda c, t, made: dynvit.bench(options={"topk": ["stages=2"]}),  # type: ignore[dict-item]
        r"options of topk must be by name, .* got \['stages=2'\]",
    ),
    "a bench into a number": (lambda c, t, made: dynvit.bench(output=3), "output must be a path, got 3"),  # type: ignore[arg-type]
    "a board of a number": (lambda c, t, made: dynvit.read_board(3), "must be a path, got 3"),  # type: ignore[arg-type]
    "a training of a number": (lambda c, t, made: dynvit.train(3, "out"), "method must be a name .*got 3"),  # type: ignore[arg-type]
    "a training's options": (
        lambda c, t, made: dynvit.train("dvt", "out", options=["a=1"]),  # type: ignore[arg-type]
        "options must be by name",
    ),
    "kept in a number": (lambda c, t, made: t.save(3), "folder must be a path, got 3"),  # type: ignore[arg-type]
    "a class and a half": (lambda c, t, made: t(torch.rand(3, 8, 8)).top(2.5), "whole number, 1 or more, got 2.5"),  # type: ignore[arg-type]
    "no pattern": (lambda c, t, made: dynvit.list_methods(3), "a pattern must be text.*got 3"),  # type: ignore[arg-type]
    "other classes": (lambda c, t, made: dynvit.evaluate(t, "cifar10"), "cifar10 has other classes"),
    "more classes": (lambda c, t, made: dynvit.evaluate(t, "cifar100"), "has 100 classes, the model answers with 10"),
    "a split": (lambda c, t, made: dynvit.evaluate(t, split="calibration"), "another split than calibration"),
    "a limit": (lambda c, t, made: dynvit.evaluate(t, limit=0), "limit must be greater than or equal to 1"),
    "an attack": (lambda c, t, made: dynvit.attack(t, "pdg"), "did you mean 'pgd'"),
    "a setting": (lambda c, t, made: dynvit.attack(t, "pgd", stesp=3), "did you mean 'steps'"),
    "no attacks": (lambda c, t, made: dynvit.attack(t, 3), "attacks must be names.*got 3"),  # type: ignore[arg-type]
    "whose setting": (lambda c, t, made: dynvit.attack(t, "pgd,fgsm", steps=3), "attack one by one"),
    "an eps": (lambda c, t, made: dynvit.attack(t, "pgd", eps=-1), "--eps must be a radius"),
    "a bench's option": (lambda c, t, made: dynvit.bench(["dense"], epohcs=3), "did you mean 'epochs'"),
    "a bench's method": (lambda c, t, made: dynvit.bench(["dens"]), "did you mean 'dense'"),
    "a bench's model": (lambda c, t, made: dynvit.bench([7]), "must be names or models, got int"),  # type: ignore[list-item]
    "a training's setting": (lambda c, t, made: dynvit.train("dvt", "out", epohcs=3), "did you mean 'epochs'"),
    "a training's method": (lambda c, t, made: dynvit.train("dvvt", "out"), "did you mean 'dvt'"),
    "a board": (lambda c, t, made: dynvit.read_board("no.json"), "no such file"),
    "a picture": (lambda c, t, made: dynvit.read_board(made["bench"] / "leaderboard.json").plot("sped"), "'speed'"),
}
