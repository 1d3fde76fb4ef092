// Takes back the short names of maths_f32.h, at the end of a body.
#undef F
#undef U
#undef FUNCTION
#undef FMA
#undef ABS
#undef BITS
#undef FLOAT
