"""Scenes drawn by our own code: one to three things on a ground, and words that say what is there.

`things` draws what a scene is from (seed, part, index); `captions` says it in words of a small
grammar and reads such words back; `drawing` makes the picture.

What a caption may say is only what can be seen: how many things, their shapes, colours and sizes,
where one lies from the other, and the ground.

Lengths are shares of the picture's side: x from 0 (left) to 1, y from 0 (top) to 1.
"""
