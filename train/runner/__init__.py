"""Many trainings from one command: every table of the paper, label efficiency and transfer (docs/evaluation.md).

python -m train.runner run 'table2-*' --out runs/paper            # pretrain, embed and probe; then the table
python -m train.runner run 'table2-*' --out runs/paper --dry-run  # the commands and what they cost
python -m train.runner table --out runs/paper                     # the tables of what is there
python -m train.runner transfer --run runs/mtat --shards data/shards/gtzan --out runs/gtzan
python -m train.runner labels --run runs/mtat --shards data/shards/mtat --out runs/labels
"""
