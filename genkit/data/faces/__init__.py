"""Faces drawn by our own code: parameters -> one list of polygons -> picture, masks, landmarks.

`parameters` draws what a face is from (seed, index); `attributes` says which of the 13 attributes
hold and edits them; `head` is an ellipsoid with a jaw, turned by one rotation; `parts` lays every
part on it as polygons, back to front; `raster` fills them with numbers of parts; `styles` gives
these numbers colours, shading and lines; `drawing` does all of it for many faces.

Nothing here takes a sine of numpy or multiplies matrices by BLAS: results of these differ in the
last bit between processors. What is left are sums, products and square roots, which IEEE 754
fixes; and coordinates are rounded before they are drawn.

Legend: B faces, N points, S side of the picture in px. Arrays of one value a face have shape (B,).
Lengths are in half sides of the picture: x from -1 (left) to 1, y from -1 (top) to 1, z towards
the viewer.
"""
