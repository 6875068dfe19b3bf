"""The mechanism: read the diagram, bind functions to its nodes, run them."""
