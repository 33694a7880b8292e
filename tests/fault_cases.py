"""Commands that are wrong in one thing, and what the one line about it must say. ``MADE`` is a folder of inputs."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fault:
    """A command with one thing wrong, and what its line must hold. ``MADE`` stands for the folder of files."""

    name: str
    command: str
    says: tuple[str, ...] = field(default=())


BENCH = "bench --methods dense,topk --limit 20 -o out"
WEIGHTS = f"{BENCH} --weights MADE/good.safetensors"
SEARCH = f"{WEIGHTS} --sampler tpe --trials 4"
SHARDS = f"{WEIGHTS} --dataset cifar10 --backbone vit_digits --data-dir"
FAULTS = (
    Fault("unknown command", "bnech", ("bnech",)),
    Fault("unknown flag", f"{BENCH} --budgts 1", ("--budgts", "--budgets")),
    Fault("unknown method", "bench --methods dense,topkk -o out", ("method 'topkk'", "'topk'", "dynamicvit")),
    Fault("no method", "bench --methods , -o out", ("methods",)),
    Fault(
        "a method between two commas", "bench --methods dense,,topk -o out", ("--methods", "both sides of each comma")
    ),
    Fault("unknown backbone", f"{BENCH} --backbone vit_digit", ("backbone 'vit_digit'", "'vit_digits'")),
    Fault("unknown dataset", f"{BENCH} --dataset digit", ("dataset 'digit'", "'digits'", "imagenet")),
    Fault("unknown split", f"{WEIGHTS} --split validatoin", ("'validatoin'", "'validation'", "calibration")),
    Fault("unknown option", f"{WEIGHTS} --option topk.stage=2", ("'stage'", "'stages'")),
    Fault("option of another type", f"{WEIGHTS} --option topk.stages=many", ("stages", "many")),
    Fault("option of nobody", f"{WEIGHTS} --option stages=2", ("--option", "'stages=2'")),
    Fault("option of an absent method", f"{WEIGHTS} --option random.seed=2", ("'random'", "dense, topk")),
    Fault("an option out of range", f"{WEIGHTS} --option topk.stages=0", ("stages", "1 to 5")),
    Fault("more stages than blocks", f"{WEIGHTS} --option topk.stages=6", ("stages", "1 to 5")),
    Fault("unknown device", f"{WEIGHTS} --device gpu", ("device", "'auto'", "'cpu'")),
    Fault("unknown interpolation", f"{WEIGHTS} --interpolation cubic", ("'cubic'", "bicubic")),
    Fault("a size that patches do not divide", f"{BENCH} --image-size 9", ("patch size 2", "got 9")),
    Fault("reporting where points are chosen", f"{WEIGHTS} --split calibration", ("split", "calibration")),
    Fault("an output that is a file", f"{WEIGHTS} -o MADE/good.safetensors", ("good.safetensors", "--output")),
    Fault("an output in a file", f"{WEIGHTS} -o MADE/good.safetensors/out", ("good.safetensors", "--output")),
    Fault("more calibration than there is", f"{WEIGHTS} --calibration 9999", ("9999", "1437")),
    Fault("unknown recipe", f"{WEIGHTS} --recipe digit", ("recipe 'digit'", "'digits'", "finetune")),
    Fault("unknown sampler", f"{WEIGHTS} --sampler tpee", ("--sampler", "'budgets'", "'tpe'", "'tpee'")),
    Fault("unknown rule", f"{WEIGHTS} --rule flops", ("unknown counting rule 'flops'", "matmul+conv", "fvcore")),
    Fault("no point", f"{WEIGHTS} --points 0", ("points", "1")),
    Fault("a protocol of nobody", f"{SHARDS} nonsense://bucket", ("cannot fetch _info.json", "nonsense")),
    Fault("no image", f"{WEIGHTS} --limit 0", ("limit", "1")),
    Fault("budgets that are no numbers", f"{WEIGHTS} --budgets low,high", ("--budgets", "number", "'low'")),
    Fault("a budget of nothing", f"{WEIGHTS} --budgets 0", ("budget", "above 0")),
    Fault("budgets of no number", f"{WEIGHTS} --budgets ,", ("--budgets must name one or more", "got none")),
    Fault("more budgets than can be meant", f"{WEIGHTS} --points 1000000000", ("--points must be", "10000")),
    Fault("a budget out of range", f"{WEIGHTS} --budgets 0.0001", ("0.0001", "GMACs")),
    Fault("a target above one", f"{WEIGHTS} --targets 1.5", ("targets", "(0, 1]", "1.5")),
    Fault("speed in an unknown type", f"{WEIGHTS} --speed --speed-dtype fp16", ("--speed-dtype", "'bf16'")),
    Fault("speed of no image", f"{WEIGHTS} --speed --speed-batches 4,0", ("--speed-batches", "1", "got 0")),
    Fault("speed of half an image", f"{WEIGHTS} --speed --speed-batches 2.5", ("--speed-batches", "integer", "2.5")),
    Fault("speed of no batch", f"{WEIGHTS} --speed --speed-batches ,", ("--speed-batches", "one or more", "none")),
    Fault("speed in no round", f"{WEIGHTS} --speed --speed-rounds 0", ("--speed-rounds", "1", "got 0")),
    Fault("a figure that there is not", "show out --figure fronts", ("figure 'fronts'", "'front'", "latency")),
    Fault("a figure of no width", "show out --figure front --width wide", ("width 'wide'", "column", "page")),
    Fault("a figure of no kind", "show out --figure front -o front.jpg", ("--output", ".pdf", "'front.jpg'")),
    Fault("a figure of nothing", "show nowhere --figure exits", ("nowhere", "no such file")),
    Fault("a figure in columns", "show out --figure front --columns id", ("--columns", "leave them out")),
    Fault("a figure as a table", "show out --figure front --format md", ("leave out --format",)),
    Fault("a figure and pictures", "show out --figure front --render", ("leave out --format and --render",)),
    Fault("a figure's file without one", "show out -o front.pdf", ("--output", "--figure")),
    Fault("an export for nobody", "export nowhere.json --to hg", ("export target 'hg'", "eee, hf")),
    Fault("an export of nothing", "export nowhere.json --to hf", ("nowhere.json", "no such file")),
    Fault("citing what is not there", "cite nowhere.json", ("nowhere.json", "no such file")),
    Fault("papers that are not there", "show out --papers nowhere", ("'nowhere'", "no such file")),
    Fault("papers that are none", "show out --papers MADE/good.safetensors", ("paper", "good.safetensors")),
    Fault("pages of nothing", "site nowhere -o out", ("nowhere", "no such file")),
    Fault("pages of what is no board", "site MADE/half.json -o out", ("half.json", "leaderboard")),
    Fault("pages of weights", "site MADE/good.safetensors -o out", ("good.safetensors",)),
    Fault("pages of an empty folder", "site MADE/empty -o out", ("no results in", "empty")),
    Fault("pages with papers that are not there", "site MADE/half.json --papers nowhere -o out", ("nowhere",)),
    Fault("speed of an unknown method", "speed --method topkk", ("method 'topkk'", "'topk'")),
    Fault("speed of what was not trained", "speed --method dvt", ("'dvt'", "--checkpoint")),
    Fault("speed on a device that is not there", "speed --method topk --device cuda:99", ("cuda:99", "'auto', 'cpu'")),
    Fault("speed at half a point", "speed --method topk --knob keep=0.5", ("knob 'keep'", "keep_ratio")),
    Fault("speed at two points", "speed --method topk --knob keep_ratio=1 --budgets 1", ("--knob", "--budgets")),
    Fault(
        "speed at a knob twice",
        "speed --method topk --weights MADE/good.safetensors --knob keep_ratio=1 --knob keep_ratio=0.5",
        ("--knob keep_ratio", "twice"),
    ),
    Fault("speed into a folder", "speed --method topk -o MADE", ("--output", "folder")),
    Fault("speed on no thread", "speed --method topk --threads 0", ("--threads", "1", "got 0")),
    Fault("a share of nothing", f"{WEIGHTS} --share 0/2", ("--share", "I/N", "0/2")),
    Fault("a share that is no share", f"{WEIGHTS} --share 2", ("--share", "2/3", "'2'")),
    Fault("an unknown cell", f"{WEIGHTS} --cell accuracy:topkk", ("cell 'accuracy:topkk'", "'accuracy:topk'")),
    Fault("a share of a cell", f"{WEIGHTS} --cell budgets --share 1/2", ("--share", "--cell", "one of them")),
    Fault("a share in a new folder", f"{WEIGHTS} --fresh --share 1/2", ("--fresh", "--output")),
    Fault("an unknown launcher", f"{WEIGHTS} --launcher slrum", ("launcher 'slrum'", "'slurm'")),
    Fault("a launcher of no process", f"{WEIGHTS} --launcher local:0", ("local:N", "'local:0'")),
    Fault("a launcher of a share", f"{WEIGHTS} --launcher local:2 --share 1/2", ("--launcher local:2", "--share")),
    Fault("dask without a scheduler", f"{WEIGHTS} --launcher dask", ("--scheduler",)),
    Fault("a scheduler of nobody", f"{WEIGHTS} --scheduler tcp://h:1", ("--scheduler", "--launcher")),
    Fault("sbatch's options of nobody", f"{WEIGHTS} --launcher local:2 --slurm time=1", ("--slurm", "local:2")),
    Fault("a storage of a kind that there is not", f"{SEARCH} --storage redis://h", ("--storage", "journal:FILE")),
    Fault("a storage of nothing", f"{SEARCH} --storage journal:", ("--storage", "journal:FILE", "'journal:'")),
    Fault("a storage in memory", f"{SEARCH} --storage sqlite://", ("--storage", "sqlite:///FILE", "'sqlite://'")),
    Fault("a storage in no folder", f"{SEARCH} --storage journal:nowhere/s.log", ("no folder 'nowhere'", "make it")),
    Fault("a storage that is no journal", f"{SEARCH} --storage journal:MADE/half.json", ("half.json", "no journal")),
    Fault("a storage that is no database", f"{SEARCH} --storage sqlite:///MADE/half.json", ("not a database",)),
    Fault(
        "a storage that is read-only",
        f"{SEARCH} --storage sqlite:///file:MADE/studies.db?mode=ro&uri=true",
        ("studies.db", "readonly database", "leave it out"),
    ),
    Fault(
        "a storage that nobody serves",
        f"{SEARCH} --storage postgresql://me:secret@127.0.0.1:1/db",
        ("postgresql://me:***@127.0.0.1:1/db", "port 1", "leave it out"),
    ),
    Fault("a storage that is a folder", f"{SEARCH} --storage journal:MADE/empty", ("--storage", "folder")),
    Fault("a storage for budgets", f"{WEIGHTS} --storage journal:s.log", ("--storage", "--sampler")),
    Fault("a batch of budgets", f"{WEIGHTS} --search-batch 2", ("--search-batch", "--sampler")),
    Fault("a batch of no trial", f"{SEARCH} --search-batch 0", ("--search-batch", "1", "got 0")),
    Fault("a storage of a share", f"{SEARCH} --storage journal:s.log --share 1/2", ("--storage", "one process")),
    Fault(
        "a storage of a launcher without trials",
        f"{SEARCH} --storage journal:s.log --launcher local:2",
        ("--search-batch N", "from 2"),
    ),
    Fault("a plan of an unknown method", "plan --methods dense,topkk -o out", ("method 'topkk'", "'topk'")),
    Fault("unknown attack", f"{WEIGHTS} --robustness pgdd", ("'pgdd'", "'pgd'", "cifar-linf")),
    Fault("unknown norm", f"{WEIGHTS} --robustness pgd --norm l1", ("norm", "'linf'", "'l2'", "'l1'")),
    Fault("a negative eps", f"{WEIGHTS} --robustness pgd --eps -0.1", ("eps", "-0.1", "above 0")),
    Fault("an eps of 0", f"{WEIGHTS} --robustness pgd --eps 0", ("--eps", "above 0", "got 0")),
    Fault("an eps of nan", f"{WEIGHTS} --robustness pgd --eps nan", ("--eps", "above 0", "got nan")),
    Fault("an eps of inf", f"{WEIGHTS} --robustness pgd --eps inf", ("--eps", "above 0", "got inf")),
    Fault("an eps of whole pixel values", f"{WEIGHTS} --robustness pgd --eps 8", ("--eps", "at most 1", "8/255")),
    Fault("an eps of which one is too large", f"{WEIGHTS} --robustness pgd --eps 4/255,2", ("at most 1", "got 2")),
    Fault("an L2 eps beyond every image", f"{WEIGHTS} --robustness pgd --norm l2 --eps 20", ("eps", "at most 13.86")),
    Fault("an eps that is no number", f"{WEIGHTS} --robustness pgd --eps 4:255", ("'4:255'", "4/255")),
    Fault(
        "the flag of an eps", f"{WEIGHTS} --robustness pgd --eps -0.1", ("error: --eps must be a radius", "got -0.1")
    ),
    Fault("attacks of no name", f"{WEIGHTS} --robustness=", ("--robustness must name one or more", "NAME,NAME")),
    Fault("corruptions of no name", f"{WEIGHTS} --corruptions=", ("--corruptions must name one or more", "all|GROUP")),
    Fault("an eps of a preset", f"{WEIGHTS} --robustness cifar-linf --eps 4/255", ("'cifar-linf'", "--eps")),
    Fault(
        "a setting of a preset", f"{WEIGHTS} --robustness cifar-linf --attack-option cifar-linf.steps=9", ("settings",)
    ),
    Fault("a norm of a preset", f"{WEIGHTS} --robustness cifar-linf --norm l2", ("'cifar-linf'", "--norm")),
    Fault("an eps of no attack", f"{WEIGHTS} --eps 4/255", ("--eps", "--robustness")),
    Fault("unknown attack option", f"{WEIGHTS} --robustness pgd --attack-option pgd.step=3", ("'step'", "'steps'")),
    Fault("option of an absent attack", f"{WEIGHTS} --robustness pgd --attack-option fgsm.seed=3", ("'fgsm'", "pgd")),
    Fault("an attack of no step", f"{WEIGHTS} --robustness pgd --attack-option pgd.steps=0", ("steps", "1", "got 0")),
    Fault(
        "no attacked point",
        f"{WEIGHTS} --robustness pgd --robustness-points 0",
        ("points", "1 or more", "got 0"),
    ),
    Fault(
        "attacked points",
        f"{WEIGHTS} --robustness pgd --robustness-points some",
        ("points", "integer", "'some'"),
    ),
    Fault("no attacked image", f"{WEIGHTS} --robustness pgd --robustness-limit 0", ("--robustness-limit", "got 0")),
    Fault(
        "a method without gradient",
        "bench --methods dense,rounded --limit 20 -o out --plugin MADE/rounded.py --robustness fgsm",
        ("'rounded'", "no gradient", "rounding"),
    ),
    Fault("attack: no point", "attack pgd --method topk --weights MADE/good.safetensors", ("keep_ratio", "--knob")),
    Fault(
        "attack: unknown knob",
        "attack pgd --method topk --weights MADE/good.safetensors --knob ratio=1",
        ("'ratio'", "keep_ratio"),
    ),
    Fault(
        "attack: no attack",
        "attack , --method dense --weights MADE/good.safetensors",
        ("--robustness", "one or more"),
    ),
    Fault(
        "attack: no image",
        "attack pgd --method dense --weights MADE/good.safetensors --limit 0",
        ("error: --limit must be", "got 0"),
    ),
    Fault("attack: unknown method", "attack pgd --method dens", ("method 'dens'", "'dense'")),
    Fault("no suite", f"{BENCH} -C MADE/none.yaml", ("none.yaml", "YAML")),
    Fault("a suite that is no YAML", f"{BENCH} -C MADE/broken.yaml", ("broken.yaml", "not YAML")),
    Fault("a suite that is no text", f"{BENCH} -C MADE/noise.safetensors", ("noise.safetensors", "not YAML")),
    Fault("a suite that is a list", f"{BENCH} -C MADE/list.yaml", ("list.yaml", "mapping")),
    Fault("a suite with an unknown option", f"{BENCH} -C MADE/name.yaml", ("'pionts'", "'points'")),
    Fault("a suite with a wrong value", f"{BENCH} -C MADE/value.yaml", ("--points", "integer", "'many'")),
    Fault("a suite with text for a switch", f"{BENCH} -C MADE/switch.yaml", ("--speed", "true or false", "got 'no'")),
    Fault("a suite that measures True", f"{BENCH} -C MADE/attacks.yaml", ("--robustness", "the attacks", "got True")),
    Fault("a suite with half a plug-in", f"{BENCH} -C MADE/plugin.yaml", ("--plugin", "path", "'a': 'b'")),
    Fault("a suite that is a device", "bench -C /dev/zero -o out", ("suite '/dev/zero'", "a device")),
    Fault("a suite that is a folder", f"{BENCH} -C MADE/empty", ("empty", "a folder")),
    Fault("a plug-in that is a folder", f"{WEIGHTS} --plugin MADE/empty", ("plug-in", "empty", "a folder")),
    Fault("weights that are a device", f"{BENCH} --weights /dev/zero", ("weights '/dev/zero'", "a device")),
    Fault("no plug-in", f"{WEIGHTS} --plugin MADE/none.py", ("none.py", "--plugin")),
    Fault(
        "no place for data", f"{WEIGHTS} --dataset cifar10", ("--data-dir", "DYNVIT_DATA", "dynvit data pack", "hf://")
    ),
    *(
        Fault(
            f"a folder of data and no data set: {command.split()[0]}",
            f"{command} --data-dir MADE/shards",
            ("digits comes with an installed package", "--data-dir", "or give --dataset"),
        )
        for command in (
            WEIGHTS,
            "train --method dense -o out",
            "speed --checkpoint MADE/trained",
            "attack fgsm --checkpoint MADE/trained --knob keep_ratio=0.7 -o out",
        )
    ),
    Fault("no shards", f"{SHARDS} MADE/empty", ("no shards of cifar10", "dynvit data pack", "hf://")),
    Fault("no weights", f"{BENCH} --weights MADE/none.safetensors", ("none.safetensors", "hf://")),
    Fault("no weights and no training", f"{BENCH} --no-train", ("no weights", "--weights", "--train")),
    Fault("wider weights", f"{BENCH} --weights MADE/wide.safetensors", ("shape", "24", "48")),
    Fault("fewer blocks", f"{BENCH} --weights MADE/shallow.safetensors", ("shallow.safetensors", "blocks.4")),
    Fault("other classes", f"{BENCH} --weights MADE/classes.safetensors", ("10 classes", "got 7", "dynvit train")),
    Fault("weights that run code", f"{BENCH} --weights MADE/bomb.pth", ("bomb.pth", "never run")),
    Fault("weights that run code, zipped", f"{BENCH} --weights MADE/bomb-in-a-zip.pth", ("code", "never run")),
    Fault("noise for weights", f"{BENCH} --weights MADE/noise.safetensors", ("noise.safetensors", "not a readable")),
    Fault(
        "an untrained method",
        f"{WEIGHTS} --methods dynamicvit --no-train",
        ("'dynamicvit'", "--method-checkpoint dynamicvit=PATH", "--train"),
    ),
    Fault(
        "a checkpoint of nobody", f"{WEIGHTS} --method-checkpoint MADE/trained", ("--method-checkpoint", "dynamicvit=")
    ),
    Fault(
        "no checkpoint of that name",
        f"{WEIGHTS} --method-checkpoint dense=nope",
        ("no folder, file or published", "'nope'"),
    ),
    Fault("no checkpoint", f"{WEIGHTS} --method-checkpoint topk=MADE/none", ("none", "dynvit train")),
    Fault(
        "weights for a checkpoint", f"{WEIGHTS} --method-checkpoint topk=MADE/good.safetensors", ("published", "'topk'")
    ),
    Fault("a folder without one", f"{WEIGHTS} --method-checkpoint topk=MADE/empty", ("no checkpoint", "dynvit train")),
    Fault(
        "a checkpoint of another method",
        f"{WEIGHTS} --method-checkpoint topk=MADE/trained",
        ("'dynamicvit'", "'topk'"),
    ),
    Fault(
        "a checkpoint of another backbone",
        "bench --methods dynamicvit --method-checkpoint dynamicvit=MADE/trained --backbone vit_cifar -o out",
        ("vit_digits", "vit_cifar", "--backbone"),
    ),
    Fault(
        "a checkpoint of other classes",
        "bench --methods dynamicvit --method-checkpoint dynamicvit=MADE/trained --backbone vit_digits "
        "--dataset cifar100 --data-dir MADE/shards -o out",
        ("10 classes", "100"),
    ),
    *(
        Fault(
            f"weights that no model has: {command.split()[0]}",
            f"{command} --weights MADE/good.safetensors",
            ("--weights", "good.safetensors", "every model has its checkpoint", "leave out --weights"),
        )
        for command in (
            "bench --methods dynamicvit --method-checkpoint dynamicvit=MADE/trained -o out",
            "attack fgsm --checkpoint MADE/trained --knob keep_ratio=0.7 -o out",
            "speed --checkpoint MADE/trained",
        )
    ),
    Fault(
        "a checkpoint half copied",
        "bench --methods dynamicvit --method-checkpoint dynamicvit=MADE/half-copied -o out",
        ("half-copied", "model.safetensors", "whole folder"),
    ),
    Fault("train: unknown method", "train --method dens --dataset digits --backbone vit_digits -o out", ("'dense'",)),
    Fault(
        "train: unknown recipe",
        "train --method dense --dataset digits --backbone vit_digits --recipe digit -o out",
        ("recipe", "'digit'", "'digits'"),
    ),
    Fault(
        "train: no weights of timm's own",
        "train --method dense --dataset digits --backbone vit_digits --weights pretrained -o out",
        ("timm has no weights", "vit_digits", "--weights FILE"),
    ),
    Fault("train: nothing to train", "train --method topk --dataset digits --backbone vit_digits -o out", ("train",)),
    *(
        Fault(f"train: {option}", f"train --method dense --dataset digits --backbone vit_digits -o out {option}", says)
        for option, says in (
            ("--on-bad-sample skpi", ("--on-bad-sample must be 'raise' or 'skip'", "'skpi'")),
            ("--seed -1", ("--seed must be", "got -1")),
            ("--accumulate 0", ("--accumulate must be", "got 0")),
            ("--accumulate 100000", ("--accumulate must be", "1024")),
            ("-j -1", ("--workers must be", "got -1")),
            ("--lr nan", ("--lr must be", "nan")),
            ("--lr inf", ("--lr must be", "inf")),
            ("--target 0", ("--target must be", "got 0")),
            ("--target 0.5", ("'dense' does not train for a target: leave out --target\n",)),
            ("--epochs 1.5", ("--epochs must be", "1.5")),
        )
    ),
    Fault(
        "explain: one point",
        "explain --checkpoint MADE/trained --dataset digits --points 1 -o out",
        ("--points must be", "got 1"),
    ),
    *(
        Fault(
            f"explain: {words.split()[0]} of an image",
            f"explain --checkpoint MADE/trained x.png {words}",
            (f"{words.split()[0]} is for a whole split", "--dataset"),
        )
        for words in ("--limit 5", "--split train", "--points 3", "--per-class 2")
    ),
    Fault(
        "explain: a budget of nan", "explain --checkpoint MADE/trained x.png --budget nan", ("--budget must be", "nan")
    ),
    Fault("data check: fewer than no thread", "data check MADE/shards -j -1", ("--workers must be", "got -1")),
    Fault(
        "data pack: shards of nothing", "data pack MADE/shards out --shard-size 0", ("--shard-size must be", "got 0")
    ),
    Fault("new: no name", "new", ("METHOD",)),
    Fault("new: a name that is registered", "new topk", ("'topk' is there already", "another name")),
    Fault("new: a name that is a path", "new ../mine", ("a to z, 0 to 9 and _", "'../mine'")),
    Fault("new: a name that ends a string", 'new a";x=1', ("a to z, 0 to 9 and _",)),
    Fault("new: a name of Python's", "new yield", ("Python's own", "'yield'")),
    Fault("new: a name that hides a module", "new torch", ("torch.py", "hide")),
    Fault("new: two names", "new one two", ("two",)),
    Fault("check: rounds that fall", "check thinkingvit --option rounds=3,2", ("rounds", "rising", "(3, 2)")),
    Fault("check: rounds of other heads", "check thinkingvit --option rounds=1,2", ("rounds", "all 3 heads", "1,2")),
    Fault(
        "check: rounds that cannot be nested",
        "check thinkingvit --backbone t2t_vit_12",
        ("thinkingvit cannot serve backbone 't2t_vit_12'", "deit_small_patch16_224"),
    ),
    Fault("check: unknown method", "check dens", ("method 'dens'", "'dense'")),
    Fault("check: a backbone it cannot serve", "check topk --backbone resnet18", ("resnet18", "deit_tiny_patch16_224")),
    Fault("show: half a board", "show MADE/half.json", ("half.json", "version 1: field 'entries' is missing")),
    Fault("convert: nothing there", "convert MADE/none", ("no file", "none", "leaderboard.json")),
    Fault("convert: no board", "convert MADE/rounded.py", ("not a board", "rounded.py")),
    Fault("convert: a folder of none", "convert MADE/empty", ("no results", "empty")),
    Fault("show: nothing there", "show MADE/none", ("none", "runs.jsonl")),
    Fault("show: no results", "show MADE/empty", ("runs.jsonl",)),
    Fault("validate: no results", "validate MADE/empty", ("no results", "empty")),
    Fault("pack: no source", "data pack MADE/none out", ("none",)),
    Fault("pack: a folder beside splits", "data pack MADE/beside out", ("train, val", "extra/")),
    Fault("pack: a label that is no number", "data pack MADE/labels out", ("labels.csv line 3", "'cat'", "'0'")),
    Fault("pack: unknown split", "data pack MADE/labels out --split validatoin", ("--split", "'validatoin'", "valid")),
    Fault("pack: no image", "data pack MADE/empty out", ("no image", "SPLIT/CLASS/FILE", "labels.csv")),
    Fault("reporting under another spelling", f"{WEIGHTS} --split Calibration", ("split", "Calibration")),
    Fault("classes of another set", f"{SHARDS} MADE/owls", ("cifar10 has other classes", "classnames.txt", "'owl'")),
    Fault("merge: nothing there", "merge MADE/empty -o out", ("no results in", "empty", "runs.jsonl")),
    Fault("merge: no output", "merge MADE/empty", ("--output",)),
    Fault("merge: no board", "merge MADE/good.safetensors -o out", ("no results in", "good.safetensors")),
    Fault("merge: a board that is none", "merge MADE/none.json -o out", ("none.json", "no such file")),
    Fault("merge: an output that is a file", "merge MADE/empty -o MADE/good.safetensors", ("no results in",)),
    Fault("submit: no folder", "submit MADE/good.safetensors", ("good.safetensors", "no folder of a bench")),
    Fault("submit: no bench", "submit MADE/empty", ("empty", "leaderboard.json", "dynvit bench")),
    Fault("verify: nothing there", "verify MADE/empty", ("empty",)),
    Fault("verify: no board", "verify MADE/none.json", ("none.json", "no such file")),
    Fault("verify: no image", "verify MADE/empty --limit 0", ("--limit", "0")),
    Fault("verify: nobody measures", "verify MADE/empty --write", ("--write", "--by NAME")),
    Fault("verify: a negative seed", "verify MADE/empty --seed -1", ("--seed", "-1")),
)
