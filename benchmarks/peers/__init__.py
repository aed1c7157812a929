"""fcnn against its peers in one process: NumPy, PyTorch, JAX, scikit-learn and ONNX Runtime.

    pip install '.[bench]'
    python benchmarks/peers --json peers.json --chart peers.svg

Same data, same parameters, same arithmetic, same number of threads. Before a row is timed, each
peer computes it and is held to the numbers of fcnn.reference; then all take turns, lap by lap.
Peers that are not installed are named. In the same run a loop of multiply-adds in the registers
measures the limit of the CPU, of which a share is stated. What is timed are the public calls that
a user makes.

workloads    what everyone computes
contestants  a module for each peer
checks       that all compute the same numbers
timing       laps in turns, the limit of the CPU, what came of them
run          the rows, one after the other
report       tables, JSON, the chart
options, threads    what is asked for; read and obeyed before NumPy is loaded
"""
