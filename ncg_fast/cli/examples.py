"""Examples in the help of the commands; a test parses each."""

ALL = """\
examples:
  ncg-fast train
  ncg-fast train --data mnist --hidden 500 --density 0.5 --steps 10 --epochs 10
  ncg-fast evaluate runs/digits-1
  ncg-fast sample runs/digits-1 --n 100 --steps 5000
  ncg-fast info

Each command explains its options: ncg-fast train --help."""

TRAIN = """\
examples:
  ncg-fast train                                    8 x 8 digits, in seconds
  ncg-fast train --data mnist --hidden 500 --density 0.5 --steps 10 --batch-size 50 \\
                 --lr 0.1 --lr-strength 0.5 --epochs 10
  ncg-fast train --data rows.npz --persistent --chains 100 --steps 1
  ncg-fast train --data mnist --labels              classifies, too
  ncg-fast train --output runs/mnist-1 --resume     goes on after Ctrl-C or a crash
  ncg-fast train --output runs/mnist-1 --resume --epochs 60

A run folder holds config.json, metrics.jsonl (a line an epoch), checkpoint.safetensors,
model.safetensors and figures/*.png."""

EVALUATE = """\
examples:
  ncg-fast evaluate runs/digits-1
  ncg-fast evaluate model.safetensors --data mnist --json

log Z is exact where the smaller layer has at most 25 units; otherwise it is an estimate by
annealed importance sampling (AIS), which tends to flatter the machine."""

SAMPLE = """\
examples:
  ncg-fast sample runs/digits-1 --n 100
  ncg-fast sample runs/digits-1 --output digits.png
  ncg-fast sample runs/mnist-2 --label 7            of a machine trained with --labels
  ncg-fast sample runs/digits-1 --clamp top.npy     0 and 1 where held, NaN where free"""

INFO = """\
examples:
  ncg-fast info
  ncg-fast info --visible 784 --hidden 500
  ncg-fast info --visible 784 --hidden 16384 --density 0.02 --batch-size 50 --json"""
