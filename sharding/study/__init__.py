"""The study corpus: scores drawn from a seed, played by FluidSynth on sampled instruments, recorded and labelled.

A composition is drawn (composition), cast and timed as one or two takes (take), written out in notes (arrange), saved
as a MIDI file (midi), played (fluid) and recorded (recording). corpus makes a folder of it.
"""
