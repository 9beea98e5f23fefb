import 'uplot/dist/uPlot.min.css';
import '../src/panel/panel.css';
import './sidebar.css';
