/* Gauss-Legendre quadrature by additions, multiplications and divisions alone, so that every processor and
 * every compiler gets the same bits (a maths library's cosine would not promise that).
 */
#include "forest.h"

/* Legendre polynomial P_n(x) by its three-term recurrence; *before is P_(n-1)(x).
 * Abramowitz and Stegun, Handbook of Mathematical Functions, 22.7.10. */
static double legendre(int n, double x, double *before) {
    double previous = 0, current = 1;
    for (int k = 1; k <= n; k++) {
        double next = ((2 * k - 1) * x * current - (k - 1) * previous) / k;
        previous = current;
        current = next;
    }
    *before = previous;
    return current;
}

void qs_quadrature(int count, double *t, double *weight) {
    /* The roots of P_n lie one between each two neighbours among the roots of P_(n-1) and the ends -1 and 1. */
    double roots[QS_MOST_LANES + 2] = {-1, 1}, next[QS_MOST_LANES + 2], ignored;
    for (int n = 1; n <= count; n++) {
        next[0] = -1;
        for (int i = 0; i < n; i++) {
            double low = roots[i], high = roots[i + 1];
            int sign = legendre(n, low, &ignored) > 0;
            for (int halving = 0; halving < 60; halving++) {
                double middle = low + (high - low) / 2;
                if ((legendre(n, middle, &ignored) > 0) == sign) low = middle;
                else high = middle;
            }
            next[i + 1] = low + (high - low) / 2;
        }
        next[n + 1] = 1;
        for (int i = 0; i < n + 2; i++) roots[i] = next[i];
    }
    for (int i = 0; i < count; i++) {
        double x = roots[i + 1], before;
        double value = legendre(count, x, &before);
        /* (x^2 - 1) P_n'(x) = n (x P_n(x) - P_(n-1)(x)), 22.8.5; weights 2 / ((1 - x^2) P_n'(x)^2), 25.4.29. */
        double slope = count * (x * value - before) / (x * x - 1);
        x -= value / slope;
        legendre(count, x, &before);
        slope = count * before / (1 - x * x);
        t[i] = (x + 1) / 2;
        weight[i] = 1 / ((1 - x * x) * slope * slope);
    }
}
