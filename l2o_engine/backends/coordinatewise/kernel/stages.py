"""The stages of an unroll, done by several threads that stay awake from one to the next.

These are drivers of the kernel: see entries.py.
"""

from typing import NamedTuple

from l2o_engine.support.arrays import Integers


class Board(NamedTuple):
    """What the threads tell one another.

    Attributes
    ----------
    agenda
        [stages], int64: what each is. A step t of the network, in chunks: t; of the k-th weights at the desk the way
        through their images and back, in blocks of these: -2k - 1; the sums of that over the blocks, in rows of
        weights: -2k - 2.
    counters
        [2, stages], int64, 0 before: the next part of each stage to be taken, and how many are done.
    announced
        [1], int64: how many stages are, -1 where there will be no other.
    """

    agenda: Integers
    counters: Integers
    announced: Integers


def learn_parts(desk, k, sums, parts, counter):
    """Do the parts of the k-th images, or of the sums over these, that this thread comes to; return how many."""
    done = 0
    while True:
        part = take(counter)
        if part >= parts:
            return done
        done += 1
        if sums:
            sum_up(desk, k, part)
        else:
            learn_block(desk, k, part)


def follow(rows, desk, board, thread, first, leads):
    """Do one stage of an unroll after another, as soon as it is announced, as far as this thread comes to its parts.

    A thread that sleeps from stage to stage is woken too late, so it looks again and again, but lets others have the
    core meanwhile. None is needed: a stage is over once all its parts are done, whoever did them; and nobody touches
    anything but the board after that, so what it was computed in may be used again while others are awake.

    Parameters
    ----------
    rows, desk, board
        The network's rows (lstm.py), the perceptrons (perceptron.py), and what is to be done of them.
    thread
        Who this is.
    first, leads
        The stage to begin with; how many of them this thread announces, each when the one before is done, and then
        returns; 0 if it is another that does.

    Returns
    -------
    The stage that it would go on with. If it is not the last of those that it announces, others have parts that they
    have not done yet, and it is to be called again: a thread that waits in here hears of no interruption.
    """
    agenda, counters, announced = board.agenda, board.counters, board.announced
    stages = agenda.shape[0]
    for stage in range(first, first + leads if leads > 0 else stages):
        if leads == 0:
            looks = 0
            known = get(announced, 0)
            while 0 <= known <= stage:
                if looks >= PATIENCE:
                    return stage
                looks += 1
                give_way()
                known = get(announced, 0)
            if known < 0:
                return stage
        what = agenda[stage]
        k, sums = (-1 - what) // 2, what % 2 == 0
        if leads > 0 and get(announced, 0) <= stage:
            if what < 0 and not sums:
                pack_perceptron(desk, k)
            put(announced, 0, stage + 1)
        counter = counters[0, stage : stage + 1]
        if what >= 0:
            parts = (rows.tape.shape[2] + rows.chunk - 1) // rows.chunk
            done = step_chunks(rows, desk, what, thread, counter)
        else:
            parts = parts_of(desk, sums)
            done = learn_parts(desk, k, sums, parts, counter)
        add(counters, stages + stage, done)
        if leads > 0:
            looks = 0
            while get(counters, stages + stage) < parts:
                if looks >= PATIENCE:
                    return stage
                looks += 1
                give_way()
            if what < 0 and not sums:
                end_loss(desk, k)
    return first + leads if leads > 0 else stages


DRIVER = (learn_parts, follow)
