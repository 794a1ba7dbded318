"""Does it learn? Pretrained, untrained and supervised encoders on the study corpus, and each augmentation alone.

python -m train.study run --size cpu --jobs 2 --out runs/study    # or make study
"""
