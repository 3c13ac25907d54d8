"""Graph: networkx takes a network in, finds its components and the distances in it, and drops it;
the small components are kept.

Runs alone on any CPython that networkx runs on; see measure.py for the line that it writes.
"""
import gc
import random

import networkx

import measure

SEED = 2005
DEGREE = 1.6                # edges for each node
SMALL = 4                   # nodes that a component which is kept has at most
STARTS = 2                  # nodes from which all distances are measured


def new_graph(nodes):
    """Return a network of so many (int) nodes and random edges with weights."""
    chance = random.Random(SEED)
    graph = networkx.Graph()
    for number in measure.integers(int(nodes * DEGREE)):
        graph.add_edge("node-%d" % int(chance.random() * nodes),
                       "node-%d" % int(chance.random() * nodes), weight=chance.random())
    return graph


def main():
    """Run the phases, and write the line."""
    parameters = measure.options({"nodes": 60000, "idle": ""})
    recorder = measure.begin("graph")
    graph = new_graph(parameters["nodes"])
    recorder.mark("built")
    components = sorted(networkx.connected_components(graph), key=len)
    kept = [graph.subgraph(part).copy() for part in components if len(part) <= SMALL]
    farthest = 0
    for start in sorted(components[-1])[:STARTS]:
        distances = networkx.single_source_shortest_path_length(graph, start)
        farthest = max(farthest, max(distances.values()))
    del graph, components, distances
    gc.collect()
    recorder.mark("dropped")
    recorder.end(parameters, {"components": len(kept), "farthest": farthest})


main()
