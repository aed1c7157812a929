"""Elementary functions of float and double: within 2 units in the last place, and vectorizable.

Each is arithmetic and choices between two values: no branch, no table, no call of the C library.
So a plain loop over an array is compiled to vector instructions, and a number has the same function
value alone and in an array. NaN, infinities, the sign of zero and subnormal results are those of
C11, annex F.

    e^x             = 2^n e^r                       x = n log 2 + r, |r| <= log(2) / 2
    e^x - 1         = 2^n (e^r - 1) + 2^n - 1       likewise
    log x           = n log 2 + log(1 + f)          x = 2^n (1 + f), sqrt(1/2) <= 1 + f < sqrt(2)
    log(1 + x)      = log u + c / u                 u = 1 + x rounded, c = 1 + x - u
    tanh x          = x + x U / Q                   U, Q of x^2, for |x| < 0.6875, in float 0.625;
                    or 1 - 2 / (e^2x + 1)           x = n log 2 / 2 + h, |h| <= log(2) / 4
                    where e^2x = 2^n (Q + T) / (Q - T), T = h (Q + U) of h^2: tanh h is T / Q
    erf x           = 1 - e^(x Q(x))                or x + x P(x^2) for |x| < 1, in float 0.9
    1 / (1 + e^-x)  = 1 - e / (1 + e), e = e^-x     or e / (1 + e), e = e^x, for x < 0

The reductions are those of Cody and Waite, Software Manual for the Elementary Functions (1980);
log(1 + f) = 2 artanh(f / (2 + f)). The polynomials are minimax, from the Remez algorithm; what is
said of their errors is about the approximation alone, with the coefficients as they stand here.
"""

from libc cimport math
from libc.math cimport INFINITY, NAN

from fcnn.kernels.real cimport multiply_add, real


cdef extern from "elementary.h" nogil:
    float fcnn_scalef(float y, float t)
    double fcnn_scale(double y, double t)
    float fcnn_half_powerf(float t)
    double fcnn_half_power(double t)
    float fcnn_exponentf(float x)
    double fcnn_exponent(double x)
    float fcnn_mantissaf(float x)
    double fcnn_mantissa(double x)


cdef inline real absolute(real x) noexcept nogil:
    if real is float:
        return math.fabsf(x)
    else:
        return math.fabs(x)


cdef inline real with_sign(real x, real sign) noexcept nogil:
    if real is float:
        return math.copysignf(x, sign)
    else:
        return math.copysign(x, sign)


cdef inline real scale(real y, real t) noexcept nogil:
    """y 2^n by two factors: 2^n alone may overflow or underflow where the product does not."""
    return fcnn_scalef(y, t) if real is float else fcnn_scale(y, t)


cdef inline real half_power(real t) noexcept nogil:
    """2^(n - 1)."""
    return fcnn_half_powerf(t) if real is float else fcnn_half_power(t)


cdef inline real exponent(real x) noexcept nogil:
    """n of x = 2^n m with sqrt(1/2) <= m < sqrt(2), for a positive x that is not subnormal."""
    return fcnn_exponentf(x) if real is float else fcnn_exponent(x)


cdef inline real mantissa(real x) noexcept nogil:
    """m of the same."""
    return fcnn_mantissaf(x) if real is float else fcnn_mantissa(x)


cdef inline real whole_logarithm_2(real x) noexcept nogil:
    """x / log 2 to the nearest integer n, as t = 1.5 2^width + 2 bias + n."""
    cdef real magic = 12583166. if real is float else 6755399441057790.
    return multiply_add(x, <real> 1.4426950408889634, magic)


cdef inline real remainder(
    real x, real t,
    double share,               # 1, or 1/2: constant at every call
) noexcept nogil:
    """x - n log 2, or x - n log 2 / 2. The high part of log 2 has so few bits that its product with
    n is exact."""
    cdef real magic = 12583166. if real is float else 6755399441057790.
    cdef real n = t - magic
    if real is float:
        return multiply_add(n, <float> (share * -1.428606765330187e-06),
                            multiply_add(n, <float> (share * -0.693145751953125), x))
    else:
        return multiply_add(n, share * 1.7239444525614835e-13,
                            multiply_add(n, share * -0.6931471805601177, x))


cdef inline real cubic(real x, real z, double a, double b, double c, double d) noexcept nogil:
    """a + b x + c x^2 + d x^3, where z = x^2: what the polynomials are put together from.

    In this order (Estrin 1960) few operations wait for each other; in Horner's, erf of double took
    1.6 times as long with AVX2 (Clang) and 1.8 times with SSE.
    """
    return multiply_add(z, multiply_add(x, <real> d, <real> c), multiply_add(x, <real> b, <real> a))


cdef inline real exponential_tail(real r) noexcept nogil:
    """e^r - 1 - r for |r| <= log(2) / 2; relative to e^r - 1, 2^-25.8 and 2^-55.4 off."""
    cdef real z = r * r, zz = z * z, q
    if real is float:
        q = multiply_add(zz, <float> 0.0013882499, cubic(
            r, z, 0.49999997, 0.16666543, 0.0416672, 0.0083665475))
    else:
        q = multiply_add(r, 2.505137735796501e-08, 2.7624864364445374e-07)
        q = multiply_add(zz, q, cubic(
            r, z, 0.0013888888927995528, 0.00019841269716007923, 2.4801508756456077e-05,
            2.755741294882799e-06))
        q = multiply_add(zz, q, cubic(
            r, z, 0.5000000000000003, 0.16666666666666594, 0.041666666666591225,
            0.008333333333389141))
    return z * q


cdef inline real bounded_exponential(real x) noexcept nogil:
    """e^x for -104 <= x <= 89, in double -746 <= x <= 710, or NaN."""
    cdef real t = whole_logarithm_2(x)
    cdef real r = remainder(x, t, 1)
    return scale(<real> 1 + (r + exponential_tail(r)), t)


cdef inline real exponential(real x) noexcept nogil:
    """e^x."""
    # Beyond these limits the result is 0 or infinite all the same; NaN passes both comparisons.
    # Both are with x: where one is with the outcome of the other, GCC makes more masks of them.
    cdef real lowest = -104 if real is float else -746
    cdef real highest = 89 if real is float else 710
    cdef real bounded = lowest if x < lowest else x
    return bounded_exponential(highest if x > highest else bounded)


cdef inline real exponential_minus_1(real x) noexcept nogil:
    """e^x - 1."""
    cdef real lowest = -18 if real is float else -38
    cdef real highest = 89 if real is float else 710
    cdef real tiny = 1e-9 if real is float else 1e-17
    cdef real z = lowest if x < lowest else x
    z = highest if x > highest else z
    cdef real t = whole_logarithm_2(z)
    cdef real r = remainder(z, t, 1)
    # Half of the result, because 2^n may overflow. The tail comes last: the rest is nearly exact.
    cdef real h = half_power(t)
    cdef real y = multiply_add(h, exponential_tail(r), multiply_add(h, r, h - <real> 0.5))
    # x itself: half of a subnormal number is rounded, and -0 would become 0
    return x if absolute(x) < tiny else y + y


cdef inline real logarithm_of_parts(real f, real n, real c) noexcept nogil:
    """n log 2 + log(1 + f) + c, where c is small."""
    cdef real s = f / (<real> 2 + f), z = s * s, zz = z * z, p
    # 2 artanh s = 2 s + s z P(z) for z <= 0.0296; relative error 2^-30.2 and 2^-59.5
    if real is float:
        p = multiply_add(z, <float> 0.2987146, <float> 0.39977568)
        p = multiply_add(z, p, <float> 0.66666776)
    else:
        p = multiply_add(z, 0.14798244441098182, 0.1531383344985675)
        p = multiply_add(z, p, 0.18183572309284185)
        p = multiply_add(zz * zz, p, cubic(
            z, zz, 0.6666666666666735, 0.3999999999940937, 0.2857142874368025,
            0.22222198429764528))
    # 2 s = f - s f = f - (f^2 / 2 - s f^2 / 2): what is added to f last is small against it
    cdef real half_square = <real> 0.5 * f * f
    cdef real low = 1.428606765330187e-06 if real is float else -1.7239444525614835e-13
    cdef real high = 0.693145751953125 if real is float else 0.6931471805601177
    c = multiply_add(s, multiply_add(p, z, half_square), multiply_add(n, low, c))
    return multiply_add(n, high, f - (half_square - c))


cdef inline real logarithm_or_limit(real u, real y) noexcept nogil:
    """y, or log u where that is infinite or NaN."""
    y = y if u < INFINITY else <real> INFINITY
    return y if u > 0 else (-<real> INFINITY if u == 0 else <real> NAN)


cdef inline real logarithm(real x) noexcept nogil:
    """The natural logarithm."""
    cdef real smallest_normal = 1.1754943508222875e-38 if real is float else 2.2250738585072014e-308
    cdef real power = 33554432. if real is float else 18014398509481984.
    cdef real shift = 25 if real is float else 54
    # Both choices stand together: apart, GCC computes both cases of all that is between them.
    power = power if x < smallest_normal else 1
    shift = shift if x < smallest_normal else 0
    cdef real n = exponent(x * power) - shift
    cdef real f = mantissa(x * power) - <real> 1
    return logarithm_or_limit(x, logarithm_of_parts(f, n, <real> 0))


cdef inline real logarithm_of_1_plus(real x) noexcept nogil:
    """log(1 + x)."""
    cdef real u = <real> 1 + x
    cdef real larger = x if x > 1 else 1
    cdef real smaller = 1 if x > 1 else x
    cdef real c = (smaller - (u - larger)) / u
    cdef real y = logarithm_of_parts(mantissa(u) - <real> 1, exponent(u), c)
    return x if x == 0 else logarithm_or_limit(u, y)


cdef inline real hyperbolic_tangent(real x) noexcept nogil:
    """tanh x, by one division for both formulas: it takes as long as ten multiplications."""
    cdef real small = 0.625 if real is float else 0.6875
    cdef real a = absolute(x), bounded = 20 if a > 20 else a    # from there on the result is 1
    cdef real t = whole_logarithm_2(<real> 0 if a < small else bounded + bounded)
    cdef real h = remainder(bounded, t, 0.5), z = h * h, zz = z * z, u, q
    # tanh h = h + h U / Q for z <= 0.625^2 and 0.6875^2; relative error 2^-27.1 and 2^-57.4
    if real is float:
        u = z * multiply_add(z, <float> -0.0015415678, <float> -0.33333308)
        q = multiply_add(z, <float> 0.40461227, <float> 1)
    else:
        u = z * multiply_add(zz, -0.00019894092668477684, multiply_add(
            z, -0.02049344248320766, -0.33333333333333304))
        q = cubic(z, zz, 1, 0.46148032744958434, 0.023284191855678378, 0.0002062798076031493)
    # 2 / (e^2x + 1) = D / (2^(n - 1) N + D / 2), N = Q + T, D = Q - T; with n = 0 below that is Q
    cdef real tangent = h * (q + u), d = q - tangent
    cdef real divisor = multiply_add(half_power(t), q + tangent, <real> 0.5 * d)
    cdef real y = (u if a < small else d) / divisor
    # h is a where n is 0, and nowhere else. Asked as before, GCC would divide in both branches.
    return with_sign(multiply_add(a, y, a) if h == a else <real> 1 - y, x)


cdef inline real error_function(real x) noexcept nogil:
    """erf x."""
    cdef real a = absolute(x), z = x * x, zz = z * z, p, q
    cdef real threshold = 0.9 if real is float else 1
    # From here on the result is 1
    a = 6 if a > 6 else a
    cdef real aa = a * a
    if real is float:
        # erf x = x + x P(z) for |x| <= 0.9, relative error 2^-25.9
        p = multiply_add(z, <float> -0.0006008231, <float> 0.0049969982)
        p = multiply_add(zz * zz, p, cubic(
            z, zz, 0.12837915, -0.37612504, 0.11281908, -0.026769552))
        # erf x = 1 - e^(x Q(x)) for 0.9 <= x <= 3.95, absolute error 2^-28.3
        q = multiply_add(a, <float> 0.000214124, <float> -0.0032162436)
        q = multiply_add(aa * aa, q, cubic(
            a, aa, -1.1285164, -0.63571185, -0.105269656, 0.022894531))
    else:
        # for |x| <= 1, relative error 2^-55.7
        p = cubic(z, zz, 1.644399138909309e-06, -1.618324096267738e-07, 1.3615600727312092e-08,
                  -7.609839803730126e-10)
        p = multiply_add(zz * zz, p, cubic(
            z, zz, 0.0052239775959009695, -0.0008548325445166197, 0.00012055279414333614,
            -1.4924448334807377e-05))
        p = multiply_add(zz * zz, p, cubic(
            z, zz, 0.12837916709551256, -0.3761263890318334, 0.11283791670936537,
            -0.02686617064186861))
        # for 1 <= x <= 5.95, absolute error 2^-56.9
        q = multiply_add(a, 1.5079074072578692e-12, -6.701307865888736e-11)
        q = multiply_add(aa * aa, q, cubic(
            a, aa, -1.0740711061436805e-06, 1.623151246864575e-07, -1.8040088843882656e-08,
            1.3944240921942985e-09))
        q = multiply_add(aa * aa, q, cubic(
            a, aa, -9.516400921947245e-05, 5.588296425126103e-05, -2.029224602244391e-05,
            5.367640592976327e-06))
        q = multiply_add(aa * aa, q, cubic(
            a, aa, 0.00021253824338307987, -0.0016932761687322804, 0.0005753331771970206,
            4.4791052530292317e-07))
        q = multiply_add(aa * aa, q, cubic(
            a, aa, -1.128379108205757, -0.6366202771366916, -0.10277072243258852,
            0.019124688796964825))
    cdef real y = with_sign(<real> 1 - bounded_exponential(a * q), x)
    return multiply_add(x, p, x) if a < threshold else y


cdef inline real sigmoid(real x) noexcept nogil:
    """1 / (1 + e^-x)."""
    cdef real lowest = -104 if real is float else -746
    cdef real e = -absolute(x)
    e = bounded_exponential(lowest if e < lowest else e)
    # y = e / (1 + e) = e - e y. The second is for small e: there an error of y hardly counts, while
    # with the first alone, which rounds 1 + e, the result is up to 2.2 units off.
    cdef real y = e / (<real> 1 + e)
    y = multiply_add(-e, y, e) if e < <real> 0.375 else y
    return <real> 1 - y if x > 0 else y
