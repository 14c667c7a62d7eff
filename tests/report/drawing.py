from matplotlib.figure import Figure


def draw(result):
    figure = Figure(figsize=(2, 2))
    figure.add_subplot().set_title(result.stem)
    return figure
